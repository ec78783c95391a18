using System.Text.Json;
using System.Text.Json.Serialization;

namespace Microsoft.ML.EarlyExit.Model.Weights;

/// <summary>Precisions in JSON, by their names alone: an enumeration's own converter takes numbers too.</summary>
internal sealed class WeightPrecisionConverter : JsonConverter<WeightPrecision>
{
    public override WeightPrecision Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options)
    {
        string? name = reader.TokenType == JsonTokenType.String ? reader.GetString() : null;
        return WeightFormat.TryFind(name, out WeightFormat? format)
            ? format.Precision
            : throw new JsonException($"a precision is {(name is null ? "no string" : $"'{name}'")}; this version of the library reads {WeightFormat.Names}");
    }

    public override void Write(Utf8JsonWriter writer, WeightPrecision value, JsonSerializerOptions options) =>
        writer.WriteStringValue(WeightFormat.Of(value).Name);
}
