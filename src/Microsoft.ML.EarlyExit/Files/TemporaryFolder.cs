using System.Collections.Concurrent;

namespace Microsoft.ML.EarlyExit.Files;

/// <summary>
/// A new folder, readable by its user only, that is deleted on disposal, else when it is no longer referenced, else when the process ends; each as far as files
/// still in use allow. What a killed process left is deleted when the next one makes such a folder in the same place.
/// </summary>
internal sealed class TemporaryFolder : IDisposable
{
    private const string Prefix = "early-exit-";

    private static readonly ConcurrentDictionary<string, FolderLock> s_existing = new();

    static TemporaryFolder() => AppDomain.CurrentDomain.ProcessExit += (_, _) =>
    {
        foreach (string path in s_existing.Keys)
            Delete(path);
    };

    internal TemporaryFolder(string parent)
    {
        parent = System.IO.Path.GetFullPath(parent);
        DeleteLeftovers(parent);
        Path = System.IO.Path.Combine(parent, $"{Prefix}{Guid.NewGuid():N}");

        // The lock comes first: a folder without one is no process's, for all that others can see.
        s_existing.TryAdd(Path, FolderLock.Take(Path));
        try
        {
            if (OperatingSystem.IsWindows())
                Directory.CreateDirectory(Path);
            else
                Directory.CreateDirectory(Path, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    ~TemporaryFolder() => Delete(Path);

    internal string Path { get; }

    public void Dispose()
    {
        Delete(Path);
        GC.SuppressFinalize(this);
    }

    private static void Delete(string path)
    {
        try
        {
            Directory.Delete(path, recursive: true);
        }
        catch (DirectoryNotFoundException)
        {
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            // Left to the end of the process.
            return;
        }

        if (s_existing.TryRemove(path, out FolderLock? held))
            held.Dispose();
    }

    private static void DeleteLeftovers(string parent)
    {
        try
        {
            foreach (string path in Directory.EnumerateFiles(parent, $"{Prefix}*{FolderLock.Suffix}"))
            {
                string folder = path[..^FolderLock.Suffix.Length];
                string name = System.IO.Path.GetFileName(folder)[Prefix.Length..];
                if (name.Length != 32 || !name.All(char.IsAsciiHexDigitLower) || s_existing.ContainsKey(folder))
                    continue;
                using FolderLock? left = FolderLock.TryTakeLeft(folder);
                if (left is not null && Directory.Exists(folder))
                    Directory.Delete(folder, recursive: true);
            }
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            // Another process may be at it, or at its end; a later one tries again.
        }
    }
}
