using System.Globalization;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.EarlyExit;

/// <summary>What a reader of examples has to say to the context's log.</summary>
/// <param name="host">The host whose log it is.</param>
/// <param name="rowCount">How many rows there are; null where nobody knows.</param>
/// <param name="time">The clock that says when progress is due.</param>
internal sealed class ExitExampleLog(IHost host, long? rowCount, TimeProvider time) : IDisposable
{
    private static readonly TimeSpan s_progressInterval = TimeSpan.FromSeconds(10);

    private IChannel? _channel;
    private long _started;
    private long _reported;
    private long _rows;
    private long _tokens;
    private long _examples;

    internal void Warn(string message) => Begin().Warning(MessageSensitivity.None, message);

    /// <summary>Counts a row whose hidden states were computed, and tells of the whole every now and then.</summary>
    internal void Decoded(int tokens, int examples)
    {
        IChannel channel = Begin();
        _rows++;
        _tokens += tokens;
        _examples += examples;
        if (time.GetElapsedTime(_reported) < s_progressInterval)
            return;
        _reported = time.GetTimestamp();
        channel.Info(MessageSensitivity.None, $"Computed {Summary()}.");
    }

    public void Dispose()
    {
        if (_channel is null)
            return;
        if (_rows > 0)
            _channel.Info(MessageSensitivity.None, $"Done: {Summary()}.");
        _channel.Dispose();
        _channel = null;
    }

    private IChannel Begin()
    {
        if (_channel is not null)
            return _channel;
        _started = _reported = time.GetTimestamp();
        return _channel = host.Start("Computing hidden states");
    }

    private string Summary()
    {
        string of = rowCount is { } count ? $" of {count}" : "";
        return string.Create(
            CultureInfo.InvariantCulture, $"{_examples} examples from {_tokens} tokens of {_rows}{of} rows in {time.GetElapsedTime(_started).TotalSeconds:F1} s");
    }
}
