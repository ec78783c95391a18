using System.Buffers;
using System.CommandLine;
using System.Globalization;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using Microsoft.ML.EarlyExit.Model;
using Microsoft.ML.EarlyExit.Model.Bundle;
using Microsoft.ML.EarlyExit.Model.Graphs;
using Microsoft.ML.EarlyExit.Model.Weights;
using Microsoft.ML.EarlyExit.Tool.Interaction;
using Microsoft.ML.EarlyExit.Tool.Output;

namespace Microsoft.ML.EarlyExit.Tool.Commands;

/// <summary><c>inspect</c>: what a bundle holds, after its files were verified.</summary>
internal sealed class InspectCommand : ToolCommand
{
    private readonly ToolContext _context;

    public InspectCommand(ToolContext context)
        : base("inspect", "Verify a model bundle and show what it holds.", "flan-t5-small.bundle --json")
    {
        _context = context;
        Argument<string> bundle = PathSymbols.CreateArgument("BUNDLE", "The folder of the bundle.");
        var json = new Option<bool>("--json") { Description = "Write one JSON object instead of text." };
        Add(bundle);
        Add(json);
        SetAction(parsed => Run(parsed.GetRequiredValue(bundle), parsed.GetValue(json)));
    }

    private int Run(string folder, bool json)
    {
        using ModelBundle bundle = ModelBundle.Open(folder);
        if (json)
            _context.Output.WriteLine(ToJson(bundle.Manifest));
        else
            WriteText(bundle);
        return ExitCode.Done;
    }

    private static string ToJson(BundleManifest manifest)
    {
        var buffer = new ArrayBufferWriter<byte>();
        using (var writer = new Utf8JsonWriter(buffer, new JsonWriterOptions { Indented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping }))
        {
            writer.WriteStartObject();
            writer.WriteNumber("formatVersion", manifest.FormatVersion);
            writer.WriteString("createdBy", manifest.CreatedBy);
            writer.WriteString("precision", WeightFormat.Of(manifest.Precision).Name);
            if (WeightFormat.Of(manifest.Precision).HasScales)
            {
                writer.WriteStartObject("matrices");
                foreach ((string name, int count) in CountMatrices(manifest))
                    writer.WriteNumber(name, count);
                writer.WriteEndObject();
            }

            writer.WriteNumber("parameters", ParameterCount(manifest));
            writer.WriteString("tokenizer", manifest.TokenizerFile);
            if (manifest.Tokenizer is { } tokenizer)
            {
                writer.WritePropertyName("tokenizerSettings");
                JsonSerializer.Serialize(writer, tokenizer, BundleManifestContext.Default.T5TokenizerSettings);
            }

            writer.WritePropertyName("configuration");
            JsonSerializer.Serialize(writer, manifest.Configuration, BundleManifestContext.Default.T5Configuration);
            writer.WriteStartArray("files");
            foreach (BundleFile file in manifest.Files)
                JsonSerializer.Serialize(writer, file, BundleManifestContext.Default.BundleFile);
            writer.WriteEndArray();
            writer.WriteEndObject();
        }

        return Encoding.UTF8.GetString(buffer.WrittenSpan);
    }

    private void WriteText(ModelBundle bundle)
    {
        BundleManifest manifest = bundle.Manifest;
        T5Configuration configuration = manifest.Configuration;
        Line("bundle", $"{bundle.Folder} (format {manifest.FormatVersion}, by {manifest.CreatedBy})");
        Line("precision", WeightFormat.Of(manifest.Precision).Name);
        if (WeightFormat.Of(manifest.Precision).HasScales)
            Line("", $"matrices: {string.Join(", ", CountMatrices(manifest).Select(type => $"{type.Count} in {type.Name}"))}; all else in fp32");
        Line("parameters", $"{ParameterCount(manifest):N0}");
        Line("layers", $"{configuration.EncoderLayerCount} encoder, {configuration.DecoderLayerCount} decoder");
        Line("model width", $"{configuration.ModelDimension}");
        Line("attention", $"{configuration.HeadCount} heads of {configuration.KeyValueDimension}");
        Line("feed forward", $"{configuration.FeedForwardDimension}, {(configuration.GatedFeedForward ? "gated " : "")}{configuration.Activation}");
        Line("positions", $"{configuration.RelativeAttentionBucketCount} buckets up to a distance of {configuration.RelativeAttentionMaxDistance}");
        Line("vocabulary", $"{configuration.VocabularySize:N0} tokens");
        Line("head", $"{(IsTied(manifest) ? "tied" : "own")}, {(configuration.ScaleDecoderOutputs ? "scaled" : "not scaled")}");
        Line(
            "special ids",
            $"pad {configuration.PadTokenId}, end of sequence {configuration.EndOfSequenceTokenId}, decoder start {configuration.DecoderStartTokenId}");
        Line("new tokens", configuration.MaxNewTokens is { } limit ? $"at most {limit}, unless told otherwise" : "no limit of the checkpoint's own");
        if (configuration.MinNewTokens is { } least)
            Line("", $"at least {least}, unless told otherwise");
        if (configuration.RepetitionPenalty is { } penalty)
            Line("repetition", $"a penalty of {penalty.ToString(CultureInfo.InvariantCulture)}, unless told otherwise");
        if (configuration.NoRepeatNgramSize is { } ngram)
            Line("n-grams", $"none of {ngram} ids twice, unless told otherwise");
        Line("tokenizer", manifest.TokenizerFile ?? "none: inputs must be ids");
        if (manifest.Tokenizer is { } tokenizer)
            Line("", $"{tokenizer.SentinelCount} sentinels, {tokenizer.AddedTokens.Count} added tokens");
        Line("files", $"{manifest.Files.Count}, {manifest.Files.Sum(file => file.Bytes):N0} bytes; sizes and hashes verified");
        int width = manifest.Files.Max(file => file.Name.Length);
        foreach (BundleFile file in manifest.Files)
            _context.Output.WriteLine($"  {file.Name.PadRight(width)}  {file.Bytes,15:N0}  {file.Sha256}");

        void Line(string name, string value) => _context.Output.WriteLine($"{(name.Length > 0 ? name + ":" : ""),-14} {value}");
    }

    private static bool IsTied(BundleManifest manifest) => manifest.TensorNames.Head == manifest.TensorNames.Embedding;

    /// <summary>How many matrices of layers are stored in each type.</summary>
    private static IEnumerable<(string Name, int Count)> CountMatrices(BundleManifest manifest) =>
        manifest.Tensors.Where(tensor => T5TensorNames.IsLayerMatrix(tensor.Name)).GroupBy(tensor => tensor.Type).OrderBy(type => type.Key)
            .Select(type => (WeightFormat.Of(type.Key).Name, type.Count()));

    /// <summary>The parameters of the checkpoint: the bundle's own tensors are partly filled up with zeros or laid out by distance.</summary>
    private static long ParameterCount(BundleManifest manifest)
    {
        T5Configuration configuration = manifest.Configuration;
        var sizes = new MatrixSizes(configuration, configuration.KeyValueDimension);
        long positions = 2L * configuration.RelativeAttentionBucketCount * configuration.HeadCount;
        long norms = (2L * configuration.EncoderLayerCount) + (3L * configuration.DecoderLayerCount) + 2;
        return sizes.Layers + ((IsTied(manifest) ? 1 : 2) * sizes.Embedding) + positions + (norms * configuration.ModelDimension);
    }
}
