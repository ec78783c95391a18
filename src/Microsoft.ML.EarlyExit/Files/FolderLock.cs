using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;

namespace Microsoft.ML.EarlyExit.Files;

/// <summary>
/// A file beside a folder, <c>FOLDER.lock</c>, that says which process uses the folder, and that the process holds locked while it lives. It goes when this is
/// disposed of; a killed process leaves it.
/// </summary>
internal sealed unsafe partial class FolderLock : IDisposable
{
    public const string Suffix = ".lock";

    private const int LongestContent = 1024;
    private const int KindOfFile = 0xF000;
    private const int Folder = 0x4000;

    // The system tells one start in slightly different ways.
    private static readonly TimeSpan s_tolerance = TimeSpan.FromSeconds(10);

    private readonly FileStream _file;

    private FolderLock(FileStream file) => _file = file;

    /// <summary>Takes the lock of a folder that is about to be made.</summary>
    /// <exception cref="IOException">The lock's file cannot be made.</exception>
    /// <exception cref="UnauthorizedAccessException">It may not be.</exception>
    public static FolderLock Take(string folder)
    {
        FileStream file = Open(folder, FileMode.CreateNew);
        using var process = Process.GetCurrentProcess();
        file.Write(Encoding.UTF8.GetBytes(string.Create(
            CultureInfo.InvariantCulture, $"{Environment.MachineName}\n{Environment.ProcessId}\n{process.StartTime.ToUniversalTime().Ticks}\n")));
        file.Flush();
        return new FolderLock(file);
    }

    /// <summary>Takes the lock of a folder whose process is dead; null where that may live, or the folder is another user's, or a link.</summary>
    public static FolderLock? TryTakeLeft(string folder)
    {
        var entry = new FileInfo(folder + Suffix);
        if (entry.LinkTarget is not null || !entry.Exists || entry.Length is 0 or > LongestContent || (Path.Exists(folder) && !IsOwnFolder(folder)))
            return null;
        FileStream file;
        try
        {
            file = Open(folder, FileMode.Open);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return null;
        }

        // Both the lock and the process: some file systems lock nothing, and a process of another container cannot be seen.
        if (IsOfDeadProcess(file))
            return new FolderLock(file);
        file.Dispose();
        return null;
    }

    public void Dispose()
    {
        _file.Dispose();
        try
        {
            File.Delete(_file.Name);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            // The next process that looks for leftovers deletes it.
        }
    }

    private static FileStream Open(string folder, FileMode mode)
    {
        var options = new FileStreamOptions { Mode = mode, Access = FileAccess.ReadWrite, Share = FileShare.None };
        if (mode == FileMode.CreateNew && !OperatingSystem.IsWindows())
            options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        return new FileStream(folder + Suffix, options);
    }

    private static bool IsOfDeadProcess(FileStream file)
    {
        byte[] content = new byte[LongestContent];
        string[] lines = Encoding.UTF8.GetString(content, 0, file.ReadAtLeast(content, content.Length, throwOnEndOfStream: false)).Split('\n');
        if (lines.Length < 3 || lines[0] != Environment.MachineName
            || !int.TryParse(lines[1], CultureInfo.InvariantCulture, out int id) || !long.TryParse(lines[2], CultureInfo.InvariantCulture, out long start))
            return false;
        try
        {
            using var process = Process.GetProcessById(id);
            var started = new DateTime(Math.Clamp(start, 0, DateTime.MaxValue.Ticks), DateTimeKind.Utc);
            return (process.StartTime.ToUniversalTime() - started).Duration() > s_tolerance;
        }
        catch (ArgumentException)
        {
            return true;
        }
        catch (Exception exception) when (exception is InvalidOperationException or System.ComponentModel.Win32Exception)
        {
            // It ended just now, or tells nothing of itself.
            return false;
        }
    }

    /// <summary>Whether a path is a folder itself, and this user's: in a folder that all may write to, anybody could put a link there.</summary>
    private static bool IsOwnFolder(string path)
    {
        if (OperatingSystem.IsWindows())
            return new DirectoryInfo(path) is { Exists: true, LinkTarget: null };
        try
        {
            // The runtime's own wrapper, since the system's structure is another on every system. Of the wrapper's the first words are flags, mode and user.
            int* status = stackalloc int[64];
            return LStat(path, status) == 0 && (status[1] & KindOfFile) == Folder && (uint)status[2] == GetEffectiveUser();
        }
        catch (Exception exception) when (exception is DllNotFoundException or EntryPointNotFoundException)
        {
            return false;
        }
    }

    [LibraryImport("libSystem.Native", EntryPoint = "SystemNative_LStat", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int LStat(string path, int* status);

    [LibraryImport("libc", EntryPoint = "geteuid")]
    private static partial uint GetEffectiveUser();
}
