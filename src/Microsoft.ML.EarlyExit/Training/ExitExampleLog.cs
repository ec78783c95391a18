using System.Globalization;
using Microsoft.ML.EarlyExit.Evaluation.DataViews;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.EarlyExit.Training;

/// <summary>What a reader of examples has to say to the context's log.</summary>
/// <param name="host">The host whose log it is.</param>
/// <param name="rowCount">How many rows there are; null where nobody knows.</param>
/// <param name="time">The clock that says when progress is due.</param>
internal sealed class ExitExampleLog(IHost host, long? rowCount, TimeProvider time) : IDisposable
{
    private readonly ProgressLog _log = new(host, "Computing hidden states", time);
    private long _rows;
    private long _tokens;
    private long _examples;

    internal void Warn(string message) => _log.Open().Warning(MessageSensitivity.None, message);

    /// <summary>Counts a row whose hidden states were computed, and tells of the whole every now and then.</summary>
    internal void Decoded(int tokens, int examples)
    {
        _log.Open();
        _rows++;
        _tokens += tokens;
        _examples += examples;
        _log.Progress(() => $"Computed {Summary()}.");
    }

    public void Dispose() => _log.Close(_rows > 0 ? () => $"Done: {Summary()}." : null);

    private string Summary()
    {
        string of = rowCount is { } count ? $" of {count}" : "";
        return string.Create(
            CultureInfo.InvariantCulture, $"{_examples} examples from {_tokens} tokens of {_rows}{of} rows in {_log.Elapsed.TotalSeconds:F1} s");
    }
}
