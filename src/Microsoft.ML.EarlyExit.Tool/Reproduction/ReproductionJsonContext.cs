using System.Text.Json.Serialization;

namespace Microsoft.ML.EarlyExit.Tool;

/// <summary>The JSON of settings and cells.</summary>
[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase,
    WriteIndented = true,
    AllowDuplicateProperties = false,
    RespectRequiredConstructorParameters = true,
    RespectNullableAnnotations = true)]
[JsonSerializable(typeof(CellRecord))]
[JsonSerializable(typeof(ReproductionSettings))]
internal sealed partial class ReproductionJsonContext : JsonSerializerContext;
