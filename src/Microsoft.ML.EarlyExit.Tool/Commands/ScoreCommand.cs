using System.CommandLine;

namespace Microsoft.ML.EarlyExit.Tool;

/// <summary><c>score</c>: what every decoder layer would have said for given targets.</summary>
internal sealed class ScoreCommand : ToolCommand
{
    private readonly ToolContext _context;
    private readonly Argument<string> _bundle = PathSymbols.CreateArgument("BUNDLE", "The folder of the model bundle.");
    private readonly Option<string?> _input = PathSymbols.CreateFileOption(
        "--input", """Rows to score, one JSON object per line: {"id", "text" or "inputIds", "target" or "targetIds"}.""");

    private readonly Option<string?> _output = PathSymbols.CreateFileOption("--output", "Where the rows go; standard output by default.");
    private readonly Option<string?> _policy = PathSymbols.CreateFileOption(
        "--policy", "Says the measure of confidence, a JSON file: confidence, contrastive, classifier, and minimumLayer, where amateurs begin; softmaxMargin by default.");

    private readonly Option<string?> _options = PathSymbols.CreateFileOption(
        "--options", "How inputs are read, a JSON file: prefix, maxInputTokens, truncate; and maxNewTokens, how many tokens a target may have.");

    public ScoreCommand(ToolContext context)
        : base("score", "Score given targets at every decoder layer, at full depth.", "flan-t5-small.bundle --input targets.jsonl --output scores.jsonl --policy policy.json")
    {
        _context = context;
        Add(_bundle);
        _input.Required = true;
        foreach (Option option in (Option[])[_input, _output, _policy, _options])
            Add(option);
        SetAction(Run);
    }

    private int Run(ParseResult parsed)
    {
        string? policyPath = parsed.GetValue(_policy);
        string? optionsPath = parsed.GetValue(_options);
        string inputPath = parsed.GetRequiredValue(_input)!;
        string? outputPath = parsed.GetValue(_output);

        // Whatever can fail quickly does so before the model is loaded.
        TextGenerationOptions options = optionsPath is null ? new TextGenerationOptions() : InputFile.Read(optionsPath, GenerationOptionsFile.Parse).Options;
        ExitPolicy? policy = policyPath is null ? null : InputFile.Read(policyPath, ExitPolicyJson.Parse);
        using FileStream input = InputFile.Open(inputPath);
        if (outputPath is not null)
            PartialFile.Check(outputPath, inputPath);

        using EarlyExitModel model = EarlyExitModel.Load(parsed.GetRequiredValue(_bundle));
        OptionNames.Check(() => LayerScorer.Check(model, policy), policyPath);
        _context.Cancellation.ThrowIfCancellationRequested();

        using var scorer = new LayerScorer(model, policy);
        using PartialFile? file = outputPath is null ? null : PartialFile.Create(outputPath);
        TextWriter output = file?.Writer ?? _context.Output;
        var writer = new ScoreWriter(output);
        var reader = new GenerationRowReader(input, hasTargets: true);
        long rows = 0;
        long errors = 0;
        try
        {
            for (; reader.TryRead(out GenerationRow row); rows++)
            {
                _context.Cancellation.ThrowIfCancellationRequested();
                if (!TryScore(scorer, row, options, writer, isTerminal: file is null))
                    errors++;
                output.Flush();
                if (input.CanSeek)
                    _context.Messages.ShowProgress(reader.Position / Math.Max(1.0, input.Length), GenerationRun.CountRows(rows + 1));
            }

            file?.Complete();
        }
        catch (Exception) when (rows > 0)
        {
            RowCounts.SayInterrupted(_context.Messages, rows, file);
            throw;
        }

        RowCounts.SayDone(_context.Messages, rows, errors);
        return ExitCode.Done;
    }

    private bool TryScore(LayerScorer scorer, GenerationRow row, TextGenerationOptions options, ScoreWriter writer, bool isTerminal)
    {
        ScoredTarget? scored = row.Error is null ? scorer.Score(row.Input!.Value, row.Target!.Value, options, _context.Cancellation) : null;
        string? error = row.Error ?? (scored!.Error is null ? null : row.Locate(OptionNames.InFiles(scored.Error)));

        // Rows on a terminal must not run into the progress bar.
        if (isTerminal)
            _context.Messages.ClearProgress();
        if (error is not null)
        {
            writer.Write(row, error);
            return false;
        }

        if (scored!.CutInputTokens > 0)
            _context.Messages.Say(row.Locate($"the input was cut by {scored.CutInputTokens} tokens to {options.MaxInputTokens}."));
        writer.Write(row, scored.Layers);
        return true;
    }
}
