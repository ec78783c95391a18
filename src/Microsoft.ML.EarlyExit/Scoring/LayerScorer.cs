namespace Microsoft.ML.EarlyExit;

/// <summary>Scores targets at every layer, one row after the other. Keeps its model alive until it is disposed. For one caller at a time.</summary>
internal sealed class LayerScorer : IDisposable
{
    /// <param name="model">The model.</param>
    /// <param name="measure">Says the measure: its confidence, and the minimum layer where amateurs begin; null for the softmax margin.</param>
    public LayerScorer(EarlyExitModel model, ExitPolicy? measure) => throw new NotImplementedException();

    /// <summary>Scores one row; the result has one item per layer, 1 to L.</summary>
    /// <param name="inputIds">Encoder ids, checked, as <see cref="EarlyExitModel.Prepare"/> makes them.</param>
    /// <param name="targetIds">The target, without the start token; at least one id.</param>
    /// <exception cref="InvalidOperationException">The model computes no number for this row.</exception>
    public IReadOnlyList<LayerScore> Score(IReadOnlyList<int> inputIds, ReadOnlySpan<int> targetIds) => throw new NotImplementedException();

    public void Dispose()
    {
    }
}
