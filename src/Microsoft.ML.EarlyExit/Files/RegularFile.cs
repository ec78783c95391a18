using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Microsoft.ML.EarlyExit.Files;

/// <summary>
/// Opens the files of models, which nobody vouches for: only regular ones, also behind links. A pipe would block whoever opens it, and a device never ends, or
/// does something when it is opened.
/// </summary>
internal static partial class RegularFile
{
    private const int NoSuchFile = 2;
    private const int Interrupted = 4;
    private const int NotPermitted = 13;

    /// <summary>Opens a file for reading at any place, whoever else reads or writes it.</summary>
    /// <exception cref="FileNotFoundException">There is no such file.</exception>
    /// <exception cref="InvalidModelException">It is a folder, a pipe or a device, or empty.</exception>
    /// <exception cref="IOException">It cannot be opened.</exception>
    /// <exception cref="UnauthorizedAccessException">It may not be read.</exception>
    public static SafeFileHandle OpenHandle(string path)
    {
        if (Directory.Exists(path))
            throw new InvalidModelException($"'{path}' is a folder where a file is expected. Put the file in its place.");
        var entry = new FileInfo(path);
        FileSystemInfo target = entry.ResolveLinkTarget(returnFinalTarget: true) ?? entry;
        if (!target.Exists)
            throw new FileNotFoundException($"There is no file '{path}'.", path);

        // Before opening, which a watchdog or a tape takes notice of. Only regular files have a length.
        if (((FileInfo)target).Length == 0)
            throw NoContent(path);
        SafeFileHandle handle = OperatingSystem.IsWindows() ? File.OpenHandle(path, share: FileShare.Read | FileShare.Delete) : OpenWithoutWaiting(path);
        try
        {
            // Again, of what was opened: it may have been put in the other's place meanwhile.
            if ((File.GetAttributes(handle) & FileAttributes.Directory) != 0 || RandomAccess.GetLength(handle) == 0)
                throw NoContent(path);
            return handle;
        }
        catch (NotSupportedException)
        {
            // What has no places to read at has no length.
            handle.Dispose();
            throw NoContent(path);
        }
        catch
        {
            handle.Dispose();
            throw;
        }
    }

    /// <summary>As <see cref="OpenHandle"/>, for reading from the start to the end.</summary>
    public static FileStream Open(string path)
    {
        SafeFileHandle handle = OpenHandle(path);
        try
        {
            return new FileStream(handle, FileAccess.Read, bufferSize: 1 << 16);
        }
        catch
        {
            handle.Dispose();
            throw;
        }
    }

    /// <summary>The content of a file of at most <paramref name="mostBytes"/>.</summary>
    /// <exception cref="InvalidModelException">As for <see cref="OpenHandle"/>, or the file is larger.</exception>
    public static byte[] Read(string path, int mostBytes)
    {
        using SafeFileHandle handle = OpenHandle(path);
        long length = RandomAccess.GetLength(handle);
        if (length > mostBytes)
        {
            throw new InvalidModelException(
                $"'{path}' has {length} bytes and is larger than the {mostBytes >> 20} MB that a file of its kind may have. "
                + "Put the right file in its place.");
        }

        byte[] content = new byte[length];
        int read = 0;
        for (int count; read < content.Length && (count = RandomAccess.Read(handle, content.AsSpan(read), read)) > 0; read += count)
        {
        }

        return read == content.Length ? content : content[..read];
    }

    private static SafeFileHandle OpenWithoutWaiting(string path)
    {
        // .NET's own way of opening has no flag for it. The flags' values are the kernel's.
        int flags = OperatingSystem.IsLinux() || OperatingSystem.IsAndroid() ? 0x800 | 0x80000
            : OperatingSystem.IsMacOS() || OperatingSystem.IsIOS() || OperatingSystem.IsMacCatalyst() || OperatingSystem.IsTvOS() ? 0x4 | 0x1000000
            : 0x4 | 0x100000;
        int descriptor;
        do
            descriptor = Open(path, flags);
        while (descriptor < 0 && Marshal.GetLastPInvokeError() == Interrupted);
        if (descriptor >= 0)
            return new SafeFileHandle(descriptor, ownsHandle: true);
        int error = Marshal.GetLastPInvokeError();
        throw error switch
        {
            NoSuchFile => new FileNotFoundException($"There is no file '{path}'.", path),
            NotPermitted => new UnauthorizedAccessException($"'{path}' may not be read by this user."),
            _ => new IOException($"'{path}' cannot be opened: {Marshal.GetPInvokeErrorMessage(error)}."),
        };
    }

    private static InvalidModelException NoContent(string path) =>
        new($"'{path}' is empty, or a pipe or a device and no regular file. Put the right file in its place.");

    // Its third argument counts only where a file is made, so two make it an ordinary call on every system.
    [LibraryImport("libc", EntryPoint = "open", StringMarshalling = StringMarshalling.Utf8, SetLastError = true)]
    private static partial int Open(string path, int flags);
}
