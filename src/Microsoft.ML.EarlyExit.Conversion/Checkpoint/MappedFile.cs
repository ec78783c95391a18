using System.IO.MemoryMappedFiles;
using Microsoft.ML.EarlyExit.Files;
using Microsoft.Win32.SafeHandles;

namespace Microsoft.ML.EarlyExit.Conversion.Checkpoint;

/// <summary>A whole file, mapped read-only. Reading from several threads is safe, also while it is being disposed.</summary>
internal sealed unsafe class MappedFile : IDisposable
{
    private readonly MemoryMappedFile mapping;
    private readonly MemoryMappedViewAccessor view;

    private MappedFile(string path, MemoryMappedFile mapping, MemoryMappedViewAccessor view, long length)
    {
        Path = path;
        Length = length;
        this.mapping = mapping;
        this.view = view;
    }

    public delegate void BytesReader<TState>(ReadOnlySpan<byte> bytes, TState state)
        where TState : allows ref struct;

    public string Path { get; }

    public long Length { get; }

    public static MappedFile Open(string path)
    {
        SafeFileHandle handle = RegularFile.OpenHandle(path);
        MemoryMappedFile? mapping = null;
        try
        {
            long length = RandomAccess.GetLength(handle);
            mapping = MemoryMappedFile.CreateFromFile(
                handle, mapName: null, capacity: 0, MemoryMappedFileAccess.Read, HandleInheritability.None, leaveOpen: false);
            return new MappedFile(path, mapping, mapping.CreateViewAccessor(0, length, MemoryMappedFileAccess.Read), length);
        }
        catch
        {
            mapping?.Dispose();
            handle.Dispose();
            throw;
        }
    }

    /// <summary>Hands the bytes [offset, offset + count) to <paramref name="reader"/>, which must not keep them.</summary>
    public void Read<TState>(long offset, int count, TState state, BytesReader<TState> reader)
        where TState : allows ref struct
    {
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(count, Length - offset);

        byte* start = null;
        SafeMemoryMappedViewHandle memory = view.SafeMemoryMappedViewHandle;
        try
        {
            // Holds the view open until released, and throws ObjectDisposedException once it is closed.
            memory.AcquirePointer(ref start);
            reader(new ReadOnlySpan<byte>(start + view.PointerOffset + offset, count), state);
        }
        finally
        {
            if (start != null)
            {
                memory.ReleasePointer();
            }
        }
    }

    public void Dispose()
    {
        view.Dispose();
        mapping.Dispose();
    }
}
