using System.CommandLine;
using System.CommandLine.Parsing;
using System.Text.Json;
using System.Text.RegularExpressions;

namespace Microsoft.ML.EarlyExit.Tool;

/// <summary><c>generate</c>: rows in, generations out.</summary>
internal sealed class GenerateCommand : ToolCommand
{
    private const int LargestBatch = 1024;

    private static readonly string[] s_optionNames =
    [
        nameof(ExitPolicy.MinimumLayer), nameof(ExitPolicy.Threshold), nameof(ExitPolicy.Thresholds), nameof(ExitPolicy.StaticExitLayer),
        nameof(ExitPolicy.Pruning), nameof(ExitPolicy.FullVocabularyAtLastLayer), nameof(ExitPolicy.StatePropagation), nameof(ExitPolicy.ShallowDeep),
        nameof(ShallowDeep.ExitLayer), nameof(ShallowDeep.AdaptiveThreshold), nameof(ExitPolicy.SelfSpeculation), nameof(ExitPolicy.ReferenceCompatible),
        nameof(TextGenerationOptions.MinNewTokens), nameof(TextGenerationOptions.MaxNewTokens),
    ];

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
            optionsPath is null ? new GenerationOptionsFile(new TextGenerationOptions(), false) : Read(optionsPath, GenerationOptionsFile.Parse);
        ExitPolicy? policy = policyPath is null ? null : Read(policyPath, ExitPolicyJson.Parse);
        options = options with { Exit = policy, BatchSize = parsed.GetValue(_batch), Trace = parsed.GetValue(_trace) };
        using FileStream? input = inputPath is null ? null : InputFile.Open(inputPath);
        if (outputPath is not null)
            PartialFile.Check(outputPath, inputPath);

        using EarlyExitModel model = EarlyExitModel.Load(parsed.GetRequiredValue(_bundle));
        Check(() => policy?.Validate(model.Configuration), policyPath);
        Check(() => model.CheckOptions(options), optionsPath);
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
            _context.Messages.Say($"{GenerationRun.CountRows(run.FinishedRows)} finished before {(file is null ? "went to standard output" : $"stay in '{file.Path}'")}.");
            throw;
        }

        if (run.ErrorRows > 0)
            _context.Messages.Say($"Wrote {GenerationRun.CountRows(run.FinishedRows)}; {run.ErrorRows} of them {(run.ErrorRows == 1 ? "is an error and says" : "are errors and say")} why.");
        else if (input is not null)
            _context.Messages.Say($"Wrote {GenerationRun.CountRows(run.FinishedRows)}.");
        return ExitCode.Done;
    }

    private static void AddRows(GenerationRun run, FileStream input)
    {
        var reader = new GenerationRowReader(input);
        long start = 0;
        for (; reader.TryRead(out GenerationRow row); start = reader.Position)
            run.Add(row, reader.Position - start);
    }

    private static T Read<T>(string path, Func<Stream, string, T> parse)
    {
        using FileStream stream = InputFile.Open(path);
        return parse(stream, path);
    }

    private static void Check(Action check, string? path)
    {
        try
        {
            check();
        }
        catch (ArgumentException exception) when (path is not null)
        {
            throw new InvalidDataException($"{path}: {WithFieldNames(ErrorSentence.Message(exception))}", exception);
        }
    }

    /// <summary>The library names its options; whoever wrote a file knows them by the names of its fields.</summary>
    private static string WithFieldNames(string message) =>
        s_optionNames.Aggregate(message, (text, name) => Regex.Replace(text, $@"\b{name}\b", JsonNamingPolicy.CamelCase.ConvertName(name)));
}
