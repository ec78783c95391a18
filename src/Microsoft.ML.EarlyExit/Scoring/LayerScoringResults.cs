using System.Globalization;
using Microsoft.ML.Data;
using Microsoft.ML.EarlyExit.DataViews;
using Microsoft.ML.EarlyExit.Evaluation.DataViews;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.EarlyExit.Scoring;

/// <summary>The scores of a source's rows, with what they have to say to the context's log.</summary>
/// <param name="mapper">The scoring.</param>
/// <param name="source">A live cursor row: its values change when the cursor moves.</param>
/// <param name="rowCount">How many rows there are; null where nobody knows.</param>
/// <param name="keepsScorer">Whether one scorer is kept for all rows, until these results are disposed.</param>
internal sealed class LayerScoringResults(LayerScoringMapper mapper, DataViewRow source, long? rowCount, bool keepsScorer) : RowResults<ScoredTarget>(source)
{
    private readonly DataViewRow _source = source;
    private readonly LayerScoringTransformer _transformer = mapper.Transformer;
    private readonly ProgressLog _log = new(mapper.Transformer.Host, "Scoring layers", TimeProvider.System);
    private (Func<GenerationInput> Input, Func<GenerationInput> Target)? _getters;
    private LayerScorer? _scorer;
    private long _rows;
    private long _tokens;

    public override void Dispose()
    {
        _scorer?.Dispose();
        _scorer = null;
        _log.Close(_rows > 0 ? () => $"Done: {Summary()}." : null);
    }

    private protected override ScoredTarget Compute(long row)
    {
        _transformer.ThrowIfDisposed();
        _getters ??= mapper.CreateGetters(_source);
        IChannel channel = _log.Open();
        LayerScorer scorer = _scorer ?? new LayerScorer(_transformer.Model, _transformer.GenerationOptions.Exit);
        ScoredTarget scored;
        try
        {
            scored = scorer.Score(_getters.Value.Input(), _getters.Value.Target(), _transformer.GenerationOptions);
        }
        finally
        {
            if (keepsScorer)
                _scorer = scorer;
            else
                scorer.Dispose();
        }

        if (scored.Error is not null)
            return scored;
        if (scored.CutInputTokens > 0)
        {
            channel.Warning(
                MessageSensitivity.None,
                $"Row {row}: the input exceeds MaxInputTokens ({_transformer.GenerationOptions.MaxInputTokens}); "
                + $"{scored.CutInputTokens} tokens were cut off its end.");
        }

        _rows++;
        _tokens += scored.TargetIds.Count;
        _log.Progress(() => $"Scored {Summary()}.");
        return scored;
    }

    private protected override ScoredTarget Check(ScoredTarget result, long row) =>
        result.Error is null ? result : throw new InvalidOperationException($"Row {row}, counted from 0, could not be scored: {result.Error}");

    private string Summary()
    {
        string of = rowCount is { } count ? $" of {count}" : "";
        return string.Create(CultureInfo.InvariantCulture, $"{_rows}{of} rows, {_tokens} tokens in {_log.Elapsed.TotalSeconds:F1} s");
    }
}
