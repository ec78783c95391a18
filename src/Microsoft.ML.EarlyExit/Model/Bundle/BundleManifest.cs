using System.Text.Json;
using System.Text.Json.Serialization;
using Microsoft.ML.EarlyExit.Model.Tokenization;
using Microsoft.ML.EarlyExit.Model.Weights;

namespace Microsoft.ML.EarlyExit.Model.Bundle;

/// <summary>What <c>model.json</c> of a bundle says; <see cref="ModelBundle"/> checks it against the files.</summary>
internal sealed record BundleManifest
{
    public const string FileName = "model.json";
    public const string FormatName = "Microsoft.ML.EarlyExit.Bundle";

    /// <summary>Without what <see cref="ReadingVersion"/> says.</summary>
    public const int FirstVersion = 1;
    public const int CurrentVersion = 2;

    /// <summary>A manifest of the largest model has well under a thousand files and ten thousand tensors.</summary>
    public const int LargestBytes = 16 << 20;

    public required string Format { get; init; }

    public required int FormatVersion { get; init; }

    public required string CreatedBy { get; init; }

    /// <summary>How the matrices are stored; all else is in single precision. <see cref="StoredTypes"/> has what that gives each tensor.</summary>
    public required WeightPrecision Precision { get; init; }

    public required T5Configuration Configuration { get; init; }

    /// <summary>Width of a head in the graphs: <c>d_kv</c> filled up with zeros to what the attention kernel takes.</summary>
    public required int GraphHeadDimension { get; init; }

    public required BundleGraphs Graphs { get; init; }

    public required BundleTensorNames TensorNames { get; init; }

    /// <summary>The file all tensors lie in.</summary>
    public required string WeightsFile { get; init; }

    public required IReadOnlyList<BundleTensor> Tensors { get; init; }

    /// <summary>The tokenizer's file; null where the checkpoint had none.</summary>
    public required string? TokenizerFile { get; init; }

    /// <summary>What the tokenizer has besides its file; null: 100 sentinels, or those that the file holds itself.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public T5TokenizerSettings? Tokenizer { get; init; }

    /// <summary>
    /// The lowest version whose readers know all that is set: those of the first one would pass over a tokenizer's settings, over how to generate by default
    /// and over the types of tensors, and give other texts without a word.
    /// </summary>
    [JsonIgnore]
    public int ReadingVersion =>
        Tokenizer is null && Precision == WeightPrecision.Float32
        && Configuration is { MinNewTokens: null, RepetitionPenalty: null, NoRepeatNgramSize: null } ? FirstVersion : CurrentVersion;

    /// <summary>Every file of the bundle but the manifest itself.</summary>
    public required IReadOnlyList<BundleFile> Files { get; init; }

    /// <summary>Whether JSON says that it is a bundle's manifest, of whatever version; other kinds of models have a <c>model.json</c> too.</summary>
    public static bool IsBundle(JsonElement json) =>
        json.ValueKind == JsonValueKind.Object && json.TryGetProperty("format", out JsonElement format)
        && format.ValueKind == JsonValueKind.String && format.ValueEquals(FormatName);

    public byte[] ToJson() => JsonSerializer.SerializeToUtf8Bytes(this, BundleManifestContext.Default.BundleManifest);

    public static BundleManifest? FromJson(ReadOnlySpan<byte> json) => JsonSerializer.Deserialize(json, BundleManifestContext.Default.BundleManifest);
}
