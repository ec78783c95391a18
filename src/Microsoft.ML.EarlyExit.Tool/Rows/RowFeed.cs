using System.Collections.Concurrent;

namespace Microsoft.ML.EarlyExit.Tool.Rows;

/// <summary>
/// Rows of a stream whose writer may be slow, read on a thread of their own: rows that are there are generated while the next are awaited, and Ctrl+C waits for
/// none.
/// </summary>
internal sealed class RowFeed
{
    private readonly BlockingCollection<(GenerationRow Row, long Bytes)> _rows;
    private Exception? _failure;

    /// <param name="rows">The rows.</param>
    /// <param name="capacity">How many are read ahead.</param>
    public RowFeed(GenerationRowReader rows, int capacity)
    {
        _rows = new BlockingCollection<(GenerationRow Row, long Bytes)>(capacity);
        new Thread(() => Read(rows)) { IsBackground = true, Name = "rows" }.Start();
    }

    /// <summary>Takes the next row.</summary>
    /// <param name="waits">Whether to wait for one.</param>
    /// <param name="row">The row, and the size of its line.</param>
    /// <param name="cancellation">Ends the wait.</param>
    /// <returns>False where there is none yet; after a wait, where there is none any more.</returns>
    /// <exception cref="IOException">The stream cannot be read.</exception>
    public bool TryTake(bool waits, out (GenerationRow Row, long Bytes) row, CancellationToken cancellation)
    {
        if (_rows.TryTake(out row, waits ? Timeout.Infinite : 0, cancellation))
            return true;
        return _rows.IsCompleted && _failure is { } failure ? throw failure : false;
    }

    private void Read(GenerationRowReader reader)
    {
        try
        {
            long start = reader.Position;
            for (; reader.TryRead(out GenerationRow row); start = reader.Position)
                _rows.Add((row, reader.Position - start));
        }
        catch (Exception exception)
        {
            _failure = exception;
        }
        finally
        {
            _rows.CompleteAdding();
        }
    }
}
