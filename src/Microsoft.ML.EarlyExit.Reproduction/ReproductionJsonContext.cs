using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Microsoft.ML.EarlyExit.Reproduction;

/// <summary>The JSON of settings and cells.</summary>
[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase,
    WriteIndented = true,
    AllowDuplicateProperties = false,
    RespectRequiredConstructorParameters = true,
    RespectNullableAnnotations = true)]
[JsonSerializable(typeof(CellRecord))]
[JsonSerializable(typeof(ReproductionSettings))]
internal sealed partial class ReproductionJsonContext : JsonSerializerContext
{
    private static ReproductionJsonContext? s_readable;

    /// <summary>Leaves letters of all scripts readable.</summary>
    public static ReproductionJsonContext Readable =>
        s_readable ??= new(new JsonSerializerOptions(Default.Options!) { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping });
}
