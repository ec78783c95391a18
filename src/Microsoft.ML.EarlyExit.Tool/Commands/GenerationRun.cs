namespace Microsoft.ML.EarlyExit.Tool;

/// <summary>Generates for groups of rows and writes each group when it is done.</summary>
internal sealed class GenerationRun(ToolContext context, EarlyExitModel model, TextGenerationOptions options, TextWriter? file)
{
    private readonly TextWriter _output = file ?? context.Output;
    private readonly GenerationRowWriter _rows = new(file ?? context.Output);

    /// <summary>Rows that were written, errors included.</summary>
    public long FinishedRows { get; private set; }

    /// <summary>Rows that were written as errors.</summary>
    public long ErrorRows { get; private set; }

    public void Generate(IReadOnlyList<GenerationRow> rows)
    {
        context.Cancellation.ThrowIfCancellationRequested();
        GenerationInput[] inputs = [.. rows.Where(row => row.Input is not null).Select(row => row.Input!.Value)];
        IReadOnlyList<GenerationResult> results = inputs.Length == 0 ? [] : model.Generate(inputs, options, context.Cancellation);
        // Rows on a terminal must not run into the progress bar.
        if (file is null)
            context.Messages.ClearProgress();
        int next = 0;
        int errors = 0;
        foreach (GenerationRow row in rows)
        {
            GenerationResult result = row.Error is not null ? Failed(row.Error) : Located(row, results[next++]);
            if (result.CutInputTokens > 0)
                context.Messages.Say(row.Locate($"the input was cut by {result.CutInputTokens} tokens to {options.MaxInputTokens}."));
            _rows.Write(row, result);
            if (result.StopReason == StopReason.Error)
                errors++;
        }

        _output.Flush();
        FinishedRows += rows.Count;
        ErrorRows += errors;
    }

    private static GenerationResult Located(GenerationRow row, GenerationResult result) => result.Error is null ? result : new GenerationResult
    {
        Text = result.Text,
        TokenIds = result.TokenIds,
        ExitLayers = result.ExitLayers,
        Confidences = result.Confidences,
        StopReason = result.StopReason,
        Error = row.Locate(result.Error),
        CutInputTokens = result.CutInputTokens,
        Steps = result.Steps,
    };

    private GenerationResult Failed(string error) => new()
    {
        Text = model.Tokenizer is null ? null : "",
        TokenIds = [],
        ExitLayers = [],
        Confidences = [],
        StopReason = StopReason.Error,
        Error = error,
    };
}
