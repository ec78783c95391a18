using System.Text.Json;
using System.Text.Json.Serialization;
using Microsoft.ML.EarlyExit.Evaluation.Json;

namespace Microsoft.ML.EarlyExit.Exit.Pruning;

/// <summary>A pruning in what System.Text.Json writes has the fields that a policy file has for it.</summary>
internal sealed class VocabularyPruningConverter : JsonConverter<VocabularyPruning>
{
    public override VocabularyPruning Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) =>
        JsonFields.Read(ref reader, "the pruning", PruningKind.Read);

    public override void Write(Utf8JsonWriter writer, VocabularyPruning value, JsonSerializerOptions options)
    {
        writer.WriteStartObject();
        value.Write(writer);
        writer.WriteEndObject();
    }
}
