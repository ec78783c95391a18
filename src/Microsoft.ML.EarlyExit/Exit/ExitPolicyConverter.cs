using System.Text.Json;
using System.Text.Json.Serialization;
using Microsoft.ML.EarlyExit.Evaluation.Json;

namespace Microsoft.ML.EarlyExit.Exit;

/// <summary>A policy in what System.Text.Json writes is what its policy file holds, and is read as strictly.</summary>
internal sealed class ExitPolicyConverter : JsonConverter<ExitPolicy>
{
    public override ExitPolicy Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) =>
        JsonFields.Read(ref reader, "the policy", ExitPolicyJson.Read);

    public override void Write(Utf8JsonWriter writer, ExitPolicy value, JsonSerializerOptions options) => ExitPolicyJson.Write(writer, value);
}
