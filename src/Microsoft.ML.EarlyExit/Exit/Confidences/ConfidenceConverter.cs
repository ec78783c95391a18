using System.Text.Json;
using System.Text.Json.Serialization;
using Microsoft.ML.EarlyExit.Evaluation.Json;

namespace Microsoft.ML.EarlyExit.Exit.Confidences;

/// <summary>A measure in what System.Text.Json writes has the fields that a policy file has for it.</summary>
internal sealed class ConfidenceConverter : JsonConverter<Confidence>
{
    public override Confidence Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) =>
        JsonFields.Read(ref reader, "the confidence", ConfidenceKind.Read);

    public override void Write(Utf8JsonWriter writer, Confidence value, JsonSerializerOptions options)
    {
        writer.WriteStartObject();
        value.Write(writer);
        writer.WriteEndObject();
    }
}
