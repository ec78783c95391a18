using System.Globalization;
using Microsoft.ML.EarlyExit.Evaluation.DataViews;
using Microsoft.ML.EarlyExit.Generation;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.EarlyExit.Transforms;

/// <summary>The generations of one reader of rows, with what they have to say to the context's log.</summary>
/// <param name="transformer">The transformer.</param>
/// <param name="rowCount">How many rows there are; null where nobody knows.</param>
/// <param name="time">The clock that says when progress is due.</param>
internal sealed class TextGenerationRun(TextGenerationTransformer transformer, long? rowCount, TimeProvider time) : IDisposable
{
    private readonly ProgressLog _log = new(transformer.Host, "Generating text", time);
    private long _rows;
    private long _tokens;
    private long _layers;
    private long _cut;
    private long _errors;

    /// <summary>An empty batch for rows of this run.</summary>
    /// <exception cref="ObjectDisposedException">The transformer is disposed.</exception>
    internal GenerationBatch StartBatch(int slots, Action<long, GenerationResult> ended)
    {
        transformer.ThrowIfDisposed();
        _log.Open();
        return transformer.Model.StartBatch(transformer.GenerationOptions, slots, ended, CancellationToken.None);
    }

    /// <summary>One token for every row of a batch.</summary>
    /// <exception cref="ObjectDisposedException">The transformer is disposed.</exception>
    internal void Step(GenerationBatch batch)
    {
        transformer.ThrowIfDisposed();
        batch.Step();
    }

    /// <summary>Tells the log about a row, and every now and then about the whole. Rows are reported in their order.</summary>
    internal void Report(GenerationResult result, long row)
    {
        IChannel channel = _log.Open();
        _rows++;
        _tokens += result.TokenIds.Count;
        foreach (int layer in result.ExitLayers)
            _layers += layer;
        if (result.CutInputTokens > 0)
        {
            _cut++;
            channel.Warning(
                MessageSensitivity.None,
                $"Row {row}: the input exceeds MaxInputTokens ({transformer.GenerationOptions.MaxInputTokens}); "
                + $"{result.CutInputTokens} tokens were cut off its end.");
        }

        if (result.StopReason == StopReason.Error)
        {
            _errors++;
            if (transformer.ReportsErrors)
                channel.Warning(MessageSensitivity.None, Describe(result, row));
        }

        channel.Trace(MessageSensitivity.None, $"Generated row {row}: {result.TokenIds.Count} tokens, {result.StopReason}.");
        _log.Progress(() => $"Generated {Summary()}.");
    }

    /// <summary>What was generated for a row, where something was, or where a column says that nothing was.</summary>
    /// <exception cref="InvalidOperationException">The row could not be generated.</exception>
    internal GenerationResult Check(GenerationResult result, long row) =>
        result.StopReason != StopReason.Error || transformer.ReportsErrors ? result : throw new InvalidOperationException(Describe(result, row));

    public void Dispose() => _log.Close(_rows > 0 ? () => $"Done: {Summary()}." : null);

    private static string Describe(GenerationResult result, long row) => $"Row {row}, counted from 0, could not be generated: {result.Error}";

    private string Summary()
    {
        double seconds = _log.Elapsed.TotalSeconds;
        string of = rowCount is { } count ? $" of {count}" : "";
        double exitLayer = (double)_layers / Math.Max(1, _tokens);
        int layerCount = transformer.Model.Configuration.DecoderLayerCount;
        string text = string.Create(
            CultureInfo.InvariantCulture,
            $"{_rows}{of} rows, {_tokens} tokens in {seconds:F1} s; mean exit layer {exitLayer:F2} of {layerCount}");
        if (_cut > 0)
            text += $"; {Count(_cut, "input")} cut";
        return _errors > 0 ? $"{text}; {Count(_errors, "row")} failed" : text;

        static string Count(long count, string what) => count == 1 ? $"1 {what}" : $"{count} {what}s";
    }
}
