using System.CommandLine;
using Microsoft.ML.EarlyExit.Conversion;

namespace Microsoft.ML.EarlyExit.Tool;

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
        Option<string?> weights = Choice.CreateOption("--weights", "The precision of the bundle's weights", "fp32");
        var overwrite = new Option<bool>("--overwrite") { Description = "Replace a bundle that is already there." };
        Add(source);
        Add(bundle);
        Add(weights);
        Add(overwrite);
        SetAction(parsed => Run(parsed.GetRequiredValue(source), parsed.GetRequiredValue(bundle), parsed.GetValue(overwrite)));
    }

    private int Run(string source, string bundle, bool overwrite)
    {
        if (!overwrite && Directory.Exists(bundle))
            throw new IOException($"'{bundle}' exists. Name another folder, or give --overwrite to replace it.");
        T5ConversionReport report = T5Converter.Convert(
            source, bundle, new T5ConversionOptions { Overwrite = overwrite, Progress = new ConversionProgress(_context) }, _context.Cancellation);
        foreach (string warning in report.Warnings)
            _context.Messages.Say($"Warning: {warning}");
        _context.Messages.Say($"Wrote the bundle '{bundle}'.");
        return ExitCode.Done;
    }

    /// <summary>Shows how far the conversion is, at once and not on another thread as <see cref="Progress{T}"/> would.</summary>
    private sealed class ConversionProgress(ToolContext context) : IProgress<double>
    {
        public void Report(double value) => context.Messages.ShowProgress(value, "of the weights");
    }
}
