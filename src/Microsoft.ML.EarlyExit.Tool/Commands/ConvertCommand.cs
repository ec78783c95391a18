using System.Buffers;
using System.CommandLine;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using Microsoft.ML.EarlyExit.Conversion;
using Microsoft.ML.EarlyExit.Model.Weights;
using Microsoft.ML.EarlyExit.Tool.Interaction;
using Microsoft.ML.EarlyExit.Tool.Output;

namespace Microsoft.ML.EarlyExit.Tool.Commands;

/// <summary><c>convert</c>: a Hugging Face T5 folder becomes a model bundle.</summary>
internal sealed class ConvertCommand : ToolCommand
{
    private readonly ToolContext _context;

    public ConvertCommand(ToolContext context)
        : base("convert", "Turn a Hugging Face T5 folder into a model bundle.", "flan-t5-small flan-t5-small.bundle")
    {
        _context = context;
        Argument<string> source = PathSymbols.CreateArgument("SOURCE", "The folder with config.json and the safetensors.");
        Argument<string> bundle = PathSymbols.CreateArgument("BUNDLE", "The folder to create; it appears whole or not at all.");
        Option<WeightPrecision> weights = Choice.CreateOption(
            "--weights", "The precision of the bundle's matrices", [.. WeightFormat.All.Select(format => (format.Name, format.Precision))]);
        var overwrite = new Option<bool>("--overwrite") { Description = "Replace a bundle that is already there." };
        var json = new Option<bool>("--json")
        {
            Description = "Write a JSON object to standard output: the files that were read and ignored, the bundle's format and size, the warnings.",
        };
        Add(source);
        Add(bundle);
        Add(weights);
        Add(overwrite);
        Add(json);
        SetAction(parsed => Run(
            parsed.GetRequiredValue(source), parsed.GetRequiredValue(bundle), parsed.GetValue(weights), parsed.GetValue(overwrite), parsed.GetValue(json)));
    }

    private int Run(string source, string bundle, WeightPrecision weights, bool overwrite, bool json)
    {
        if (!overwrite && Directory.Exists(bundle))
            throw new IOException($"'{bundle}' exists. Name another folder, or give --overwrite to replace it.");
        var options = new T5ConversionOptions { Weights = weights, Overwrite = overwrite, Progress = new ConversionProgress(_context) };
        T5ConversionReport report = T5Converter.Convert(source, bundle, options, _context.Cancellation);
        foreach (string warning in report.Warnings)
            _context.Messages.Say($"Warning: {warning}");
        _context.Messages.Say($"Wrote the bundle '{bundle}'.");
        if (json)
            _context.Output.WriteLine(ToJson(source, bundle, report));
        return ExitCode.Done;
    }

    private static string ToJson(string source, string bundle, T5ConversionReport report)
    {
        var buffer = new ArrayBufferWriter<byte>();
        using (var writer = new Utf8JsonWriter(buffer, new JsonWriterOptions { Indented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping }))
        {
            writer.WriteStartObject();
            writer.WriteString("source", source);
            writer.WriteString("bundle", bundle);
            writer.WriteNumber("formatVersion", report.FormatVersion);
            writer.WriteNumber("bytes", report.BundleBytes);
            foreach ((string name, IReadOnlyList<string> texts) in (ReadOnlySpan<(string, IReadOnlyList<string>)>)
                [("read", report.FilesRead), ("ignored", report.FilesIgnored), ("warnings", report.Warnings)])
            {
                writer.WriteStartArray(name);
                foreach (string text in texts)
                    writer.WriteStringValue(text);
                writer.WriteEndArray();
            }

            writer.WriteEndObject();
        }

        return Encoding.UTF8.GetString(buffer.WrittenSpan);
    }

    /// <summary>Shows how far the conversion is, at once and not on another thread as <see cref="Progress{T}"/> would.</summary>
    private sealed class ConversionProgress(ToolContext context) : IProgress<double>
    {
        public void Report(double value) => context.Messages.ShowProgress(value, "of the weights");
    }
}
