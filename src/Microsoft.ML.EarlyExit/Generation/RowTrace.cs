namespace Microsoft.ML.EarlyExit.Generation;

/// <summary>How each token of a row came about, where <see cref="TextGenerationOptions.Trace"/> asks for it.</summary>
internal sealed class RowTrace
{
    private readonly List<GenerationStep> _steps = [];
    private List<ConfidenceEvaluation>? _evaluations;

    /// <summary>Adds a confidence that was computed for the next token.</summary>
    public void Add(ConfidenceEvaluation evaluation) => (_evaluations ??= []).Add(evaluation);

    /// <summary>Ends a token, with the operations done for it.</summary>
    public void Record(int token, int layer, OperationCounts operations)
    {
        _steps.Add(new GenerationStep(token, layer, _evaluations ?? [], operations));
        _evaluations = null;
    }

    /// <summary>Puts the full model's choice in the place of a rejected draft, and drops the drafts after it.</summary>
    /// <param name="index">The token, from 0.</param>
    /// <param name="token">The choice.</param>
    /// <param name="layer">The last layer.</param>
    /// <param name="operations">What was done since the last token.</param>
    public void Replace(int index, int token, int layer, OperationCounts operations)
    {
        // Operations of rejected drafts, and of the token behind them, are charged to the token that replaces the first of them.
        for (int dropped = index; dropped < _steps.Count; dropped++)
            operations += _steps[dropped].Operations;
        IReadOnlyList<ConfidenceEvaluation> evaluations = _steps[index].Evaluations;
        _steps.RemoveRange(index, _steps.Count - index);
        _steps.Add(new GenerationStep(token, layer, evaluations, operations));
        _evaluations = null;
    }

    /// <summary>Adds operations to those of a token.</summary>
    public void Charge(int index, OperationCounts operations)
    {
        GenerationStep step = _steps[index];
        _steps[index] = new GenerationStep(step.TokenId, step.ExitLayer, step.Evaluations, step.Operations + operations);
    }

    /// <summary>The first tokens.</summary>
    public IReadOnlyList<GenerationStep> Steps(int count) => count == _steps.Count ? _steps : _steps[..count];
}
