using System.Buffers;

namespace Microsoft.ML.EarlyExit.Model.Tokenization;

/// <summary>Bytes that grow in rented memory.</summary>
internal ref struct PooledBytes
{
    private const int MaxLength = 1 << 28;

    private byte[] _buffer;

    public PooledBytes(int capacity) => _buffer = ArrayPool<byte>.Shared.Rent(capacity);

    public int Length { get; private set; }

    public readonly ReadOnlySpan<byte> Written => _buffer.AsSpan(0, Length);

    public void Append(scoped ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length > _buffer.Length - Length)
        {
            Grow(bytes.Length);
        }

        bytes.CopyTo(_buffer.AsSpan(Length));
        Length += bytes.Length;
    }

    public void Shorten(int bytes) => Length -= bytes;

    public void Dispose()
    {
        ArrayPool<byte>.Shared.Return(_buffer);
        _buffer = [];
    }

    private void Grow(int bytes)
    {
        if (bytes > MaxLength - Length)
        {
            throw new ArgumentException("The text is too long: normalised it has more than 2^28 bytes. Encode it in parts.", "text");
        }

        byte[] larger = ArrayPool<byte>.Shared.Rent((int)Math.Min(MaxLength, Math.Max((long)_buffer.Length * 2, (long)Length + bytes)));
        Written.CopyTo(larger);
        ArrayPool<byte>.Shared.Return(_buffer);
        _buffer = larger;
    }
}
