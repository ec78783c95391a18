using System.Buffers;
using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
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
        var keep = new Option<string[]>("--keep")
        {
            Description = "Matrices that int8 and int4 leave in fp32, as fp32:PATTERN, for example fp32:decoder.3.ff.wo or fp32:encoder.*; may be repeated.",
            HelpName = "TYPE:PATTERN",
            CustomParser = ParseKeep,
        };
        var overwrite = new Option<bool>("--overwrite") { Description = "Replace a bundle that is already there." };
        var json = new Option<bool>("--json")
        {
            Description =
                "Write a JSON object to standard output: the files that were read and ignored, the bundle's format and size, the warnings, with int8 and int4 the "
                + "quantisation errors.",
        };
        Add(source);
        Add(bundle);
        Add(weights);
        Add(keep);
        Add(overwrite);
        Add(json);
        Validators.Add(result =>
        {
            if (result.GetResult(keep) is not null && !WeightFormat.Of(result.GetValue(weights)).HasScales)
                result.AddError("--keep leaves matrices out of int8 and int4; give it together with --weights int8 or --weights int4.");
        });
        SetAction(parsed => Run(
            parsed.GetRequiredValue(source), parsed.GetRequiredValue(bundle), parsed.GetValue(json),
            new T5ConversionOptions
            {
                Weights = parsed.GetValue(weights),
                Keep = parsed.GetValue(keep) ?? [],
                Overwrite = parsed.GetValue(overwrite),
                Progress = new ConversionProgress(_context),
            }));
    }

    /// <summary>As they are, where the options take them.</summary>
    private static string[]? ParseKeep(ArgumentResult result)
    {
        string[] given = [.. result.Tokens.Select(token => token.Value)];
        try
        {
            _ = new T5ConversionOptions { Keep = given };
            return given;
        }
        catch (ArgumentException exception)
        {
            result.AddError($"--keep: {ErrorSentence.Message(exception)}");
            return null;
        }
    }

    private int Run(string source, string bundle, bool json, T5ConversionOptions options)
    {
        if (!options.Overwrite && Directory.Exists(bundle))
            throw new IOException($"'{bundle}' exists. Name another folder, or give --overwrite to replace it.");
        T5ConversionReport report = T5Converter.Convert(source, bundle, options, _context.Cancellation);
        SayErrors(report.QuantizationErrors);
        foreach (string warning in report.Warnings)
            _context.Messages.Say($"Warning: {warning}");
        _context.Messages.Say($"Wrote the bundle '{bundle}'.");
        if (json)
            _context.Output.WriteLine(ToJson(source, bundle, report));
        return ExitCode.Done;
    }

    /// <summary>A table of what the whole numbers are off by.</summary>
    private void SayErrors(IReadOnlyList<QuantizationError> errors)
    {
        if (errors.Count == 0)
            return;
        _context.Messages.Say("Quantisation error, the root mean square of the difference over that of the weights:");
        int width = errors.Max(error => error.Kind.Length);
        foreach (QuantizationError error in errors)
        {
            _context.Messages.Say(string.Create(
                CultureInfo.InvariantCulture,
                $"  {error.Kind.PadRight(width)}  {WeightFormat.Of(error.Weights).Name}  {100 * error.RelativeError,6:0.000} %, "
                + $"at most {100 * error.WorstRelativeError:0.000} % ({error.WorstMatrix})"));
        }
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

            if (report.QuantizationErrors.Count > 0)
            {
                writer.WriteStartArray("quantization");
                foreach (QuantizationError error in report.QuantizationErrors)
                {
                    writer.WriteStartObject();
                    writer.WriteString("kind", error.Kind);
                    writer.WriteString("type", WeightFormat.Of(error.Weights).Name);
                    writer.WriteNumber("matrices", error.Count);
                    writer.WriteNumber("error", error.RelativeError);
                    writer.WriteString("worst", error.WorstMatrix);
                    writer.WriteNumber("worstError", error.WorstRelativeError);
                    writer.WriteEndObject();
                }

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
