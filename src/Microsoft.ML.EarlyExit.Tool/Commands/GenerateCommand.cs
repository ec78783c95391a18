using System.CommandLine;
using System.CommandLine.Parsing;

namespace Microsoft.ML.EarlyExit.Tool;

/// <summary><c>generate</c>: rows in, generations out.</summary>
internal sealed class GenerateCommand : ToolCommand
{
    private const int LargestBatch = 1024;

    private readonly ToolContext _context;
    private readonly Argument<string> _bundle = PathSymbols.CreateArgument("BUNDLE", "The folder of the model bundle.");
    private readonly Option<string?> _text = new("--text") { Description = "One text to generate from.", HelpName = "TEXT" };
    private readonly Option<string?> _input =
        PathSymbols.CreateFileOption("--input", """Rows to generate from, one JSON object per line: {"id", "text"} or {"id", "inputIds"}.""");

    private readonly Option<string?> _output = PathSymbols.CreateFileOption("--output", "Where the rows go; standard output by default.");
    private readonly Option<string?> _policy = PathSymbols.CreateFileOption("--policy", "The exit policy, a JSON file; full depth by default.");
    private readonly Option<string?> _options = PathSymbols.CreateFileOption("--options", "The generation options, a JSON file.");
    private readonly Option<int> _batch = new("--batch")
    {
        Description = $"How many rows are decoded side by side, 1 to {LargestBatch}.",
        HelpName = "N",
        DefaultValueFactory = _ => 1,
        CustomParser = ParseBatch,
    };

    private readonly Option<bool> _trace = new("--trace") { Description = "Add every confidence that was computed to the rows." };

    public GenerateCommand(ToolContext context)
        : base("generate", "Generate text from a text or from rows of a file.", """flan-t5-small.bundle --text "Translate to German: How old are you?" --policy policy.json""")
    {
        _context = context;
        Add(_bundle);
        foreach (Option option in (Option[])[_text, _input, _output, _policy, _options, _batch, _trace])
            Add(option);
        Validators.Add(result =>
        {
            if ((result.GetResult(_text) is null) == (result.GetResult(_input) is null))
                result.AddError("Give either --text or --input.");
        });
        SetAction(Run);
    }

    private static int ParseBatch(ArgumentResult result)
    {
        string given = result.Tokens[0].Value;
        if (int.TryParse(given, out int batch) && batch is >= 1 and <= LargestBatch)
            return batch;
        result.AddError($"--batch is '{given}'; it must be a whole number from 1 to {LargestBatch}.");
        return 1;
    }

    private int Run(ParseResult parsed)
    {
        string? policyPath = parsed.GetValue(_policy);
        string? optionsPath = parsed.GetValue(_options);
        string? inputPath = parsed.GetValue(_input);
        string? outputPath = parsed.GetValue(_output);

        // Whatever can fail quickly does so before the model is loaded.
        (TextGenerationOptions options, bool writesOperations) =
            optionsPath is null ? new GenerationOptionsFile(new TextGenerationOptions(), false) : InputFile.Read(optionsPath, GenerationOptionsFile.Parse);
        ExitPolicy? policy = policyPath is null ? null : InputFile.Read(policyPath, ExitPolicyJson.Parse);
        options = options with { Exit = policy, BatchSize = parsed.GetValue(_batch), Trace = parsed.GetValue(_trace) };
        using FileStream? input = inputPath is null ? null : InputFile.Open(inputPath);
        if (outputPath is not null)
            PartialFile.Check(outputPath, inputPath);

        using EarlyExitModel model = EarlyExitModel.Load(parsed.GetRequiredValue(_bundle));
        OptionNames.Check(() => policy?.Validate(model.Configuration), policyPath);
        OptionNames.Check(() => model.CheckOptions(options), optionsPath);
        _context.Cancellation.ThrowIfCancellationRequested();

        using PartialFile? file = outputPath is null ? null : PartialFile.Create(outputPath);
        using var run = new GenerationRun(_context, model, options, writesOperations, file?.Writer, input is { CanSeek: true } ? input.Length : null);
        try
        {
            if (input is null)
                run.Add(GenerationRow.FromText(parsed.GetRequiredValue(_text)!), bytes: 0);
            else
                AddRows(run, input);
            run.Complete();
            file?.Complete();
        }
        catch (Exception) when (run.FinishedRows > 0)
        {
            RowCounts.SayInterrupted(_context.Messages, run.FinishedRows, file);
            throw;
        }

        if (input is not null || run.ErrorRows > 0)
            RowCounts.SayDone(_context.Messages, run.FinishedRows, run.ErrorRows);
        return ExitCode.Done;
    }

    private static void AddRows(GenerationRun run, FileStream input)
    {
        var reader = new GenerationRowReader(input);
        long start = 0;
        for (; reader.TryRead(out GenerationRow row); start = reader.Position)
            run.Add(row, reader.Position - start);
    }
}
