namespace Microsoft.ML.EarlyExit.Tool.Interaction;

/// <summary>Ctrl+C: it cancels the whole command, or only a part of it while there is one that ends by itself, as one answer of many does.</summary>
internal sealed class Interruption
{
    private readonly CancellationTokenSource _whole = new();
    private volatile CancellationTokenSource? _part;

    /// <summary>Is cancelled with the whole command.</summary>
    public CancellationToken Whole => _whole.Token;

    /// <summary>Begins a part; once it is cancelled or disposed, signals are for the whole again.</summary>
    public CancellationTokenSource BeginPart() => _part = CancellationTokenSource.CreateLinkedTokenSource(_whole.Token);

    /// <summary>Takes a signal.</summary>
    /// <returns>Whether the process goes on; what was cancelled before it ends at once.</returns>
    public bool Signal()
    {
        if (_part is { IsCancellationRequested: false } part)
        {
            try
            {
                part.Cancel();
                return true;
            }
            catch (ObjectDisposedException)
            {
                // It ended just now.
            }
        }

        bool isFirst = !_whole.IsCancellationRequested;
        _whole.Cancel();
        return isFirst;
    }
}
