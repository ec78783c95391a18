using System.Text;

namespace Microsoft.ML.EarlyExit.Evaluation.Files;

/// <summary>The lines of a stream as bytes, one in memory at a time.</summary>
internal sealed class LineReader(Stream stream)
{
    /// <summary>Bytes of a line; no text comes near.</summary>
    public const int LongestLine = 16 << 20;

    private readonly byte[] _buffer = new byte[1 << 16];
    private int _start;
    private int _end;

    /// <summary>Lines read so far; the number of the line read last.</summary>
    public long Number { get; private set; }

    /// <summary>Bytes of the stream up to the end of the line read last.</summary>
    public long Position { get; private set; }

    /// <summary>Reads the next line.</summary>
    /// <param name="line">The line without its end (LF or CR LF) and without a byte order mark; null where it is longer than <see cref="LongestLine"/>.</param>
    /// <returns>Whether there was another line.</returns>
    public bool TryRead(out byte[]? line)
    {
        using var collected = new MemoryStream();
        bool isTooLong = false;
        bool isAnything = false;
        for (bool isEnd = false; !isEnd;)
        {
            if (_start == _end)
            {
                (_start, _end) = (0, stream.Read(_buffer));
                if (_end == 0)
                    break;
            }

            isAnything = true;
            ReadOnlySpan<byte> available = _buffer.AsSpan(_start, _end - _start);
            int newline = available.IndexOf((byte)'\n');
            isEnd = newline >= 0;
            ReadOnlySpan<byte> part = isEnd ? available[..newline] : available;
            int taken = part.Length + (isEnd ? 1 : 0);
            _start += taken;
            Position += taken;
            isTooLong |= collected.Length + part.Length > LongestLine;
            if (!isTooLong)
                collected.Write(part);
        }

        line = null;
        if (!isAnything)
            return false;
        Number++;
        if (isTooLong)
            return true;
        ReadOnlySpan<byte> bytes = collected.GetBuffer().AsSpan(0, (int)collected.Length);
        if (Number == 1 && bytes.StartsWith(Encoding.UTF8.Preamble))
            bytes = bytes[Encoding.UTF8.Preamble.Length..];
        line = bytes.TrimEnd((byte)'\r').ToArray();
        return true;
    }
}
