namespace Microsoft.ML.EarlyExit.Conversion.Checkpoint;

/// <summary>One tensor of an open checkpoint, row-major. Its elements stay in the mapped file; reading widens them to single precision.</summary>
internal sealed class CheckpointTensor
{
    private readonly MappedFile file;
    private readonly long offset;

    internal CheckpointTensor(string name, int[] shape, CheckpointDataType dataType, long elementCount, MappedFile file, long offset)
    {
        Name = name;
        Shape = Array.AsReadOnly(shape);
        DataType = dataType;
        ElementCount = elementCount;
        this.file = file;
        this.offset = offset;
    }

    public string Name { get; }

    public IReadOnlyList<int> Shape { get; }

    public CheckpointDataType DataType { get; }

    public long ElementCount { get; }

    private int ElementSize => DataType == CheckpointDataType.F32 ? sizeof(float) : sizeof(ushort);

    /// <summary>Widens the elements [start, start + length of the destination) to single precision. Safe from several threads.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The tensor has no such elements.</exception>
    /// <exception cref="ObjectDisposedException">The checkpoint is closed.</exception>
    public void Read(long start, Span<float> destination)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(start);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(start, ElementCount);
        if (destination.Length > ElementCount - start)
        {
            throw new ArgumentOutOfRangeException(
                nameof(destination), destination.Length, $"Tensor '{Name}' has {ElementCount} elements; {destination.Length} from {start} on do not exist.");
        }

        // A span of bytes counts in int: parts of 2^28 elements are 2^30 bytes at most.
        const int MaxPart = 1 << 28;
        for (int done = 0; done < destination.Length; done += MaxPart)
        {
            Span<float> part = destination.Slice(done, Math.Min(MaxPart, destination.Length - done));
            long position = offset + ((start + done) * ElementSize);
            int count = part.Length * ElementSize;
            switch (DataType)
            {
                case CheckpointDataType.F32:
                    file.Read(position, count, part, Widening.FromSingle);
                    break;
                case CheckpointDataType.F16:
                    file.Read(position, count, part, Widening.FromHalf);
                    break;
                default:
                    file.Read(position, count, part, Widening.FromBFloat16);
                    break;
            }
        }
    }
}
