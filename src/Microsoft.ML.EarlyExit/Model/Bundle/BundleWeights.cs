using System.IO.MemoryMappedFiles;
using System.Security.Cryptography;
using Microsoft.ML.EarlyExit.Memory;
using Microsoft.Win32.SafeHandles;

namespace Microsoft.ML.EarlyExit.Model.Bundle;

/// <summary>The weights file of an open bundle, checked against its hash: mapped, or copied into memory that nobody else can change.</summary>
internal sealed unsafe class BundleWeights : IDisposable
{
    private const int PartBytes = 1 << 20;

    private readonly string _path;
    private readonly long _length;
    private readonly SafeFileHandle? _file;
    private readonly DateTime _written;
    private readonly MemoryMappedFile? _mapping;
    private readonly MemoryMappedViewAccessor? _view;
    private readonly NativeBuffer? _copy;
    private readonly byte* _start;

    /// <summary>Takes over an open file, also where this fails.</summary>
    /// <param name="path">The file's path, for messages.</param>
    /// <param name="file">The file.</param>
    /// <param name="copies">Whether it is copied rather than mapped.</param>
    /// <param name="sha256">The SHA-256 of the copy, or of the file before it was mapped.</param>
    public BundleWeights(string path, SafeFileHandle file, bool copies, out string sha256)
    {
        _path = path;
        try
        {
            // Before the content is read: whatever is written from now on makes it later.
            _written = File.GetLastWriteTimeUtc(file);
            _length = RandomAccess.GetLength(file);
            if (copies)
            {
                _copy = new NativeBuffer(_length);
                _start = (byte*)_copy.Address;
                sha256 = Copy(file);
                file.Dispose();
                return;
            }

            sha256 = Hash(file);
            _mapping = MemoryMappedFile.CreateFromFile(
                file, mapName: null, capacity: 0, MemoryMappedFileAccess.Read, HandleInheritability.None, leaveOpen: true);
            _view = _mapping.CreateViewAccessor(0, _length, MemoryMappedFileAccess.Read);
            _view.SafeMemoryMappedViewHandle.AcquirePointer(ref _start);
            _start += _view.PointerOffset;
            _file = file;
        }
        catch
        {
            _copy?.Dispose();
            _view?.Dispose();
            _mapping?.Dispose();
            file.Dispose();
            throw;
        }
    }

    /// <summary>The first byte.</summary>
    public byte* Start => _start;

    /// <summary>Whether the weights are a copy.</summary>
    public bool IsCopy => _copy is not null;

    /// <summary>Whether the mapped file, whatever lies at its path by now, is as it was when it was opened; true of a copy.</summary>
    public bool IsUnchanged => _file is null || (!_file.IsClosed && RandomAccess.GetLength(_file) == _length && File.GetLastWriteTimeUtc(_file) == _written);

    /// <summary>
    /// Throws where the mapped file was written to or cut since it was opened: what would be computed is of another model, and a page that is gone ends the
    /// process.
    /// </summary>
    /// <exception cref="InvalidModelException">It was.</exception>
    public void CheckUnchanged()
    {
        if (!IsUnchanged)
        {
            throw new InvalidModelException(
                $"'{_path}' was changed since the model was loaded from it. "
                + $"Load the model again; where others write to the folder, load it with {nameof(EarlyExitModelOptions.CopyWeights)}.");
        }
    }

    /// <summary>Says that a range will hardly be read again: its pages leave memory, and come back from the file if it is.</summary>
    public void ReleasePages(long offset, long bytes)
    {
        // Pages of the copy would come back as zeros.
        if (!IsCopy)
            MappedPages.Release(_start + offset, bytes);
    }

    /// <summary>Writes the copy.</summary>
    public void CopyTo(Stream target)
    {
        for (long at = 0; at < _length; at += PartBytes)
            target.Write(new ReadOnlySpan<byte>(_start + at, (int)Math.Min(PartBytes, _length - at)));
    }

    public void Dispose()
    {
        _copy?.Dispose();
        if (_view is null)
            return;
        _view.SafeMemoryMappedViewHandle.ReleasePointer();
        _view.Dispose();
        _mapping!.Dispose();
        _file!.Dispose();
    }

    private static string Hash(SafeFileHandle file)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        byte[] part = new byte[PartBytes];
        long at = 0;
        for (int count; (count = RandomAccess.Read(file, part, at)) > 0; at += count)
            hash.AppendData(part.AsSpan(0, count));
        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    private string Copy(SafeFileHandle file)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        int count;
        for (long at = 0; at < _length; at += count)
        {
            var part = new Span<byte>(_start + at, (int)Math.Min(PartBytes, _length - at));
            count = RandomAccess.Read(file, part, at);

            // Cut short meanwhile, so that the hash is another.
            if (count == 0)
                break;
            hash.AppendData(part[..count]);
        }

        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }
}
