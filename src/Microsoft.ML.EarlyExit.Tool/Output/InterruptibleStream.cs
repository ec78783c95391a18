namespace Microsoft.ML.EarlyExit.Tool.Output;

/// <summary>A stream whose reader waits no longer than until it is cancelled; what was being read then is lost.</summary>
/// <param name="open">Opens it when it is first read.</param>
/// <param name="cancellation">Ends a wait.</param>
internal sealed class InterruptibleStream(Func<Stream> open, CancellationToken cancellation) : Stream
{
    private readonly Lazy<Stream> _inner = new(open);

    public override bool CanRead => true;

    public override bool CanSeek => false;

    public override bool CanWrite => false;

    public override long Length => throw new NotSupportedException();

    public override long Position
    {
        get => throw new NotSupportedException();
        set => throw new NotSupportedException();
    }

    public override int Read(byte[] buffer, int offset, int count)
    {
        // Into an array of its own: a read that nobody waits for any more still ends some time.
        byte[] read = new byte[count];
        Task<int> reading = Task.Run(() => _inner.Value.Read(read, 0, count), CancellationToken.None);
        try
        {
            reading.Wait(cancellation);
        }
        catch (AggregateException)
        {
            // Thrown again below, by itself.
        }

        int length = reading.GetAwaiter().GetResult();
        read.AsSpan(0, length).CopyTo(buffer.AsSpan(offset));
        return length;
    }

    public override void Flush()
    {
    }

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
}
