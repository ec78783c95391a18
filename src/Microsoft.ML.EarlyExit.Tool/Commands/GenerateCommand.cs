using System.CommandLine;
using Microsoft.ML.EarlyExit.Reproduction.Output;
using Microsoft.ML.EarlyExit.Tool.Interaction;
using Microsoft.ML.EarlyExit.Tool.Output;
using Microsoft.ML.EarlyExit.Tool.Rows;

namespace Microsoft.ML.EarlyExit.Tool.Commands;

/// <summary><c>generate</c>: rows in, generations out; on a terminal text that appears as it comes, and a prompt line.</summary>
internal sealed class GenerateCommand : ToolCommand
{
    private readonly ToolContext _context;
    private readonly Argument<string> _bundle = PathSymbols.CreateArgument("BUNDLE", "The folder of the model bundle.");
    private readonly Option<string?> _text = new("--text") { Description = "One text to generate from.", HelpName = "TEXT" };
    private readonly Option<string?> _input = PathSymbols.CreateFileOption(
        "--input", """Rows to generate from, one JSON object per line: {"id", "text"} or {"id", "inputIds"}; - for standard input.""");

    private readonly Option<string?> _output = PathSymbols.CreateFileOption("--output", "Where the rows go; standard output by default.");
    private readonly Option<string?> _policy = PathSymbols.CreateFileOption(
        "--policy", "The exit policy, a JSON file, a certificate of this model, or a pipeline that was saved; full depth by default.");

    private readonly Option<string?> _options = PathSymbols.CreateFileOption("--options", "The generation options, a JSON file.");
    private readonly GenerationFlags _generationFlags = new();
    private readonly PolicyFlags _policyFlags = new();
    private readonly Option<int> _batch = BatchOption.Create();
    private readonly Option<bool> _trace = new("--trace") { Description = "Add every confidence that was computed to the rows." };
    private readonly Option<bool> _json = new("--json") { Description = "Write rows also on a terminal, in place of text." };
    private readonly Option<bool> _resume = ResumeOption.Create();
    private readonly Option<bool> _strict = StrictOption.Create();
    private readonly LoadOptions _load = new();

    public GenerateCommand(ToolContext context)
        : base(
            "generate", "Generate text from a text, from rows, or from what is typed at a prompt line.",
            """flan-t5-small.bundle --text "Translate to German: How old are you?" --policy policy.json""")
    {
        _context = context;
        Add(_bundle);
        foreach (Option option in (Option[])
            [
                _text, _input, _output, _policy, _options, .. _policyFlags.All, .. _generationFlags.All, _batch, _trace, _json, _resume, _strict,
                .. _load.All,
            ])
        {
            Add(option);
        }

        PathSymbols.ReadStandardInputOnce(this, _input, _policy, _options);
        Validators.Add(result =>
        {
            bool hasText = result.GetResult(_text) is not null;
            bool hasInput = result.GetResult(_input) is not null;
            if (hasText && hasInput)
                result.AddError("Give either --text or --input, not both.");
            else if (!hasText && !hasInput && context.Terminal?.Keyboard is null)
                result.AddError("Give either --text or --input; for a prompt line standard input and output must be a terminal.");
            else if (!hasText && !hasInput && result.GetResult(_output) is not null)
                result.AddError("Give --text or --input together with --output.");
            ResumeOption.Validate(result, _resume, _input, _output);
        });
        SetAction(Run);
    }

    private int Run(ParseResult parsed)
    {
        string? inputPath = parsed.GetValue(_input);
        string? outputPath = PathSymbols.GetOutput(parsed, _output);
        string? optionsPath = parsed.GetValue(_options);

        // Whatever can fail quickly does so before the model is loaded.
        (TextGenerationOptions fileOptions, bool writesOperations) = optionsPath is null
            ? new GenerationOptionsFile(new TextGenerationOptions(), false)
            : PathSymbols.Read(optionsPath, _context, GenerationOptionsFile.Parse);
        PolicyFile? policyFile = parsed.GetValue(_policy) is { } policyPath ? PolicyFile.Read(policyPath, _context) : null;
        ExitPolicy? policy = _policyFlags.Apply(parsed, policyFile?.Policy);
        string[] policyFlags = GivenFlags.Of(parsed, _policyFlags.All);
        TextGenerationOptions options = _generationFlags.Apply(parsed, fileOptions) with
        {
            Exit = policy,
            BatchSize = parsed.GetValue(_batch),
            Trace = parsed.GetValue(_trace),
        };
        using Stream? input = inputPath is null ? null : PathSymbols.Open(inputPath, _context);
        GenerationRowReader? rows = input is null ? null : new GenerationRowReader(input);
        var outcome = new RowOutcome(_context.Messages);
        long keptBytes = 0;
        if (outputPath is not null)
        {
            bool resumes = parsed.GetValue(_resume);
            PartialFile.Check(outputPath, inputPath);
            if (resumes)
                keptBytes = FinishedRows.Skip(outputPath, PathSymbols.Name(inputPath!), rows!, "stopReason", outcome);
            RowCounts.KeepLeft(_context.Messages, outputPath, resumes, outcome.Rows);
        }

        using EarlyExitModel model = _load.Load(parsed, parsed.GetRequiredValue(_bundle));
        policyFile?.CheckModel(model, _context.Messages);
        OptionNames.Check(() => policy?.Validate(model.Configuration), policyFlags, () => policyFile?.Policy?.Validate(model.Configuration), policyFile?.Name);
        OptionNames.Check(() => model.CheckOptions(options), GivenFlags.Of(parsed, _generationFlags.All), () => model.CheckOptions(fileOptions), optionsPath);
        if (policyFile is { IsCertified: true } && policyFlags.Length > 0)
            _context.Messages.Say($"What {policyFile.Name} certifies does not hold with {string.Join(", ", policyFlags)}.");
        _context.Cancellation.ThrowIfCancellationRequested();

        bool writesRows = _context.Terminal is null || outputPath is not null || parsed.GetValue(_json) || options.Trace;
        string? text = parsed.GetValue(_text);
        if (text is null && input is null)
            return RunPrompt(model, options, writesOperations, writesRows);
        if (!writesRows && text is not null)
            return new StreamedGeneration(_context, model, options).Run(text, _context.Cancellation) ? ExitCode.Done : ExitCode.Failed;

        using PartialFile? file = outputPath is null ? null : PartialFile.Create(outputPath, keptBytes);
        using var run = new GenerationRun(
            _context, model, options, writesOperations, file?.Writer, outcome, rows?.Position ?? 0, input is { CanSeek: true } ? input.Length : null);
        RunRows(run, text, rows, reads: input is { CanSeek: false } ? options.BatchSize : 0, file);
        return outcome.ToExitCode(parsed.GetValue(_strict));
    }

    /// <summary>Generates a text, or rows.</summary>
    /// <param name="run">Generates them.</param>
    /// <param name="text">The text, where there are no rows.</param>
    /// <param name="rows">The rows.</param>
    /// <param name="reads">How many rows are read ahead of a writer that may be slow; 0 for a file.</param>
    /// <param name="file">The file that they go to; null for standard output.</param>
    private void RunRows(GenerationRun run, string? text, GenerationRowReader? rows, int reads, PartialFile? file)
    {
        try
        {
            if (rows is null)
                run.Add(GenerationRow.FromText(text!), bytes: 0);
            else if (reads == 0)
                AddRows(run, rows);
            else
                AddRows(run, new RowFeed(rows, reads));
            run.Complete();
            file?.Complete();
        }
        catch (Exception exception) when (run.Outcome.Rows > 0 && exception is not ReaderLeftException)
        {
            RowCounts.SayInterrupted(_context.Messages, run.Outcome.Rows, file);
            throw;
        }

        if (rows is not null)
            RowCounts.SayDone(_context.Messages, run.Outcome);
        else
            run.Outcome.SayReasons();
    }

    private int RunPrompt(EarlyExitModel model, TextGenerationOptions options, bool writesOperations, bool writesRows)
    {
        var streamed = new StreamedGeneration(_context, model, options);
        return new PromptLine(_context, writesRows ? WriteRow : (text, cancellation) => streamed.Run(text, cancellation)).Run();

        void WriteRow(string text, CancellationToken cancellation)
        {
            using var run = new GenerationRun(
                _context with { Cancellation = cancellation }, model, options, writesOperations, file: null, new RowOutcome(_context.Messages));
            run.Add(GenerationRow.FromText(text), bytes: 0);
            run.Complete();
            run.Outcome.SayReasons();
        }
    }

    private static void AddRows(GenerationRun run, GenerationRowReader reader)
    {
        long start = reader.Position;
        for (; reader.TryRead(out GenerationRow row); start = reader.Position)
            run.Add(row, reader.Position - start);
    }

    private void AddRows(GenerationRun run, RowFeed feed)
    {
        while (true)
        {
            if (feed.TryTake(waits: !run.IsRunning, out (GenerationRow Row, long Bytes) next, _context.Cancellation))
                run.Add(next.Row, next.Bytes);
            else if (run.IsRunning)
                run.Step();
            else
                return;
        }
    }
}
