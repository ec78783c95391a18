namespace Microsoft.ML.EarlyExit.Tool;

/// <summary>Generates for groups of rows and writes each group when it is done.</summary>
internal sealed class GenerationRun(ToolContext context, EarlyExitModel model, TextGenerationOptions options, bool writesOperations, TextWriter? file)
{
    private readonly TextWriter _output = file ?? context.Output;
    private readonly GenerationRowWriter _rows = new(file ?? context.Output, writesOperations);

    /// <summary>Rows that were written, errors included.</summary>
    public long FinishedRows { get; private set; }

    /// <summary>Rows that were written as errors.</summary>
    public long ErrorRows { get; private set; }

    /// <summary>Generates a group; where that ends early, the rows before the first unfinished one are written all the same.</summary>
    public void Generate(IReadOnlyList<GenerationRow> rows)
    {
        context.Cancellation.ThrowIfCancellationRequested();
        GenerationInput[] inputs = [.. rows.Where(row => row.Input is not null).Select(row => row.Input!.Value)];
        var results = new GenerationResult?[inputs.Length];
        try
        {
            if (inputs.Length > 0)
                model.Generate(inputs, options, results, context.Cancellation);
        }
        finally
        {
            Write(rows, results);
        }
    }

    private void Write(IReadOnlyList<GenerationRow> rows, GenerationResult?[] results)
    {
        // Rows on a terminal must not run into the progress bar.
        if (file is null)
            context.Messages.ClearProgress();
        int next = 0;
        foreach (GenerationRow row in rows)
        {
            GenerationResult? result = row.Error is not null ? GenerationResult.Failed(row.Error, hasText: model.Tokenizer is not null) : results[next++];
            if (result is null)
                break;
            if (row.Error is null)
                result = Located(row, result);
            if (result.CutInputTokens > 0)
                context.Messages.Say(row.Locate($"the input was cut by {result.CutInputTokens} tokens to {options.MaxInputTokens}."));
            _rows.Write(row, result);
            FinishedRows++;
            if (result.StopReason == StopReason.Error)
                ErrorRows++;
        }

        _output.Flush();
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
        Operations = result.Operations,
        Steps = result.Steps,
    };
}
