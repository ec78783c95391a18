using System.CommandLine;
using Microsoft.ML.EarlyExit.Reproduction.Output;
using Microsoft.ML.EarlyExit.Scoring;
using Microsoft.ML.EarlyExit.Tool.Interaction;
using Microsoft.ML.EarlyExit.Tool.Output;
using Microsoft.ML.EarlyExit.Tool.Rows;

namespace Microsoft.ML.EarlyExit.Tool.Commands;

/// <summary><c>score</c>: what every decoder layer would have said for given targets.</summary>
internal sealed class ScoreCommand : ToolCommand
{
    private readonly ToolContext _context;
    private readonly Argument<string> _bundle = PathSymbols.CreateArgument("BUNDLE", "The folder of the model bundle.");
    private readonly Option<string?> _input = PathSymbols.CreateFileOption(
        "--input", """Rows to score, one JSON object per line: {"id", "text" or "inputIds", "target" or "targetIds"}; - for standard input.""");

    private readonly Option<string?> _output = PathSymbols.CreateFileOption("--output", "Where the rows go; standard output by default.");
    private readonly Option<string?> _policy = PathSymbols.CreateFileOption(
        "--policy",
        "Says the measure of confidence, as for generate: confidence, contrastive, classifier, and minimumLayer, where amateurs begin; "
        + "softmaxMargin by default.");

    private readonly Option<string?> _options = PathSymbols.CreateFileOption(
        "--options", "How inputs are read, a JSON file: prefix, maxInputTokens, truncate; and maxNewTokens, how many tokens a target may have.");

    private readonly Option<bool> _resume = ResumeOption.Create();
    private readonly Option<bool> _strict = StrictOption.Create();
    private readonly LoadOptions _load = new();

    public ScoreCommand(ToolContext context)
        : base(
            "score", "Score given targets at every decoder layer, at full depth.",
            "flan-t5-small.bundle --input targets.jsonl --output scores.jsonl --policy policy.json")
    {
        _context = context;
        Add(_bundle);
        _input.Required = true;
        foreach (Option option in (Option[])[_input, _output, _policy, _options, _resume, _strict, .. _load.All])
            Add(option);
        PathSymbols.ReadStandardInputOnce(this, _input, _policy, _options);
        Validators.Add(result => ResumeOption.Validate(result, _resume, _input, _output));
        SetAction(Run);
    }

    private int Run(ParseResult parsed)
    {
        string? optionsPath = parsed.GetValue(_options);
        string inputPath = parsed.GetRequiredValue(_input)!;
        string? outputPath = PathSymbols.GetOutput(parsed, _output);

        // Whatever can fail quickly does so before the model is loaded.
        TextGenerationOptions options = optionsPath is null
            ? new TextGenerationOptions()
            : PathSymbols.Read(optionsPath, _context, GenerationOptionsFile.Parse).Options;
        PolicyFile? policy = parsed.GetValue(_policy) is { } policyPath ? PolicyFile.Read(policyPath, _context) : null;
        using Stream input = PathSymbols.Open(inputPath, _context);
        var reader = new GenerationRowReader(input, hasTargets: true);
        var outcome = new RowOutcome(_context.Messages);
        long keptBytes = 0;
        if (outputPath is not null)
        {
            bool resumes = parsed.GetValue(_resume);
            PartialFile.Check(outputPath, inputPath);
            if (resumes)
                keptBytes = FinishedRows.Skip(outputPath, PathSymbols.Name(inputPath), reader, "layers", outcome);
            RowCounts.KeepLeft(_context.Messages, outputPath, resumes, outcome.Rows);
        }

        using EarlyExitModel model = _load.Load(parsed, parsed.GetRequiredValue(_bundle));
        policy?.CheckModel(model, _context.Messages);
        OptionNames.Check(() => LayerScorer.Check(model, policy?.Policy), policy?.Name);
        _context.Cancellation.ThrowIfCancellationRequested();

        using var scorer = new LayerScorer(model, policy?.Policy);
        using PartialFile? file = outputPath is null ? null : PartialFile.Create(outputPath, keptBytes);
        TextWriter output = file?.Writer ?? _context.Output;
        var writer = new ScoreWriter(output);
        try
        {
            while (reader.TryRead(out GenerationRow row))
            {
                _context.Cancellation.ThrowIfCancellationRequested();
                outcome.Add(Score(scorer, row, options, writer, isTerminal: file is null));
                output.Flush();
                if (input.CanSeek)
                    _context.Messages.ShowProgress(reader.Position / Math.Max(1.0, input.Length), GenerationRun.CountRows(outcome.Rows));
            }

            file?.Complete();
        }
        catch (Exception exception) when (outcome.Rows > 0 && exception is not ReaderLeftException)
        {
            RowCounts.SayInterrupted(_context.Messages, outcome.Rows, file);
            throw;
        }

        RowCounts.SayDone(_context.Messages, outcome);
        return outcome.ToExitCode(parsed.GetValue(_strict));
    }

    /// <summary>Scores a row and writes it.</summary>
    /// <returns>Why it failed; null where it did not.</returns>
    private string? Score(LayerScorer scorer, GenerationRow row, TextGenerationOptions options, ScoreWriter writer, bool isTerminal)
    {
        ScoredTarget? scored = row.Error is null ? scorer.Score(row.Input!.Value, row.Target!.Value, options, _context.Cancellation) : null;
        string? error = row.Error ?? (scored!.Error is null ? null : row.Locate(OptionNames.InFiles(scored.Error)));

        // Rows on a terminal must not run into the progress bar.
        if (isTerminal)
            _context.Messages.ClearProgress();
        if (error is not null)
        {
            writer.Write(row, error);
            return error;
        }

        if (scored!.CutInputTokens > 0)
            _context.Messages.Say(row.Locate($"the input was cut by {scored.CutInputTokens} tokens to {options.MaxInputTokens}."));
        writer.Write(row, scored.Layers);
        return null;
    }
}
