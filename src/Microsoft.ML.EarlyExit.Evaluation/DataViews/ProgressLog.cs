using Microsoft.ML.Runtime;

namespace Microsoft.ML.EarlyExit.Evaluation.DataViews;

/// <summary>A reader's channel to the context's log: opened when it first has something to say, it tells every ten seconds how far the work is, and in the end
/// of the whole.</summary>
/// <param name="host">The host whose log it is.</param>
/// <param name="activity">What the channel is called.</param>
/// <param name="time">The clock that says when progress is due.</param>
internal sealed class ProgressLog(IHost host, string activity, TimeProvider time)
{
    private static readonly TimeSpan s_interval = TimeSpan.FromSeconds(10);

    private IChannel? _channel;
    private long _started;
    private long _reported;

    /// <summary>Time since the channel was opened.</summary>
    internal TimeSpan Elapsed => time.GetElapsedTime(_started);

    /// <summary>The channel, opened by now.</summary>
    internal IChannel Open()
    {
        if (_channel is not null)
            return _channel;
        _started = _reported = time.GetTimestamp();
        return _channel = host.Start(activity);
    }

    /// <summary>Tells how far the work is, where that is due.</summary>
    /// <param name="message">Makes the message.</param>
    internal void Progress(Func<string> message)
    {
        if (time.GetElapsedTime(_reported) < s_interval)
            return;
        _reported = time.GetTimestamp();
        Open().Info(MessageSensitivity.None, message());
    }

    /// <summary>Closes the channel, if it was opened.</summary>
    /// <param name="summary">Makes the last message; null for none.</param>
    internal void Close(Func<string>? summary)
    {
        if (_channel is null)
            return;
        if (summary is not null)
            _channel.Info(MessageSensitivity.None, summary());
        _channel.Dispose();
        _channel = null;
    }
}
