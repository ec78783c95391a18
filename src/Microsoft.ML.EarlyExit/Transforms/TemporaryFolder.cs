using System.Collections.Concurrent;

namespace Microsoft.ML.EarlyExit;

/// <summary>A new folder, readable by its user only, that is deleted on disposal, else when it is no longer referenced, else when the process ends;
/// each as far as files still in use allow.</summary>
internal sealed class TemporaryFolder : IDisposable
{
    private static readonly ConcurrentDictionary<string, bool> s_existing = new();

    static TemporaryFolder() => AppDomain.CurrentDomain.ProcessExit += (_, _) =>
    {
        foreach (string path in s_existing.Keys)
            Delete(path);
    };

    internal TemporaryFolder(string parent)
    {
        Path = System.IO.Path.Combine(System.IO.Path.GetFullPath(parent), $"early-exit-{Guid.NewGuid():N}");
        s_existing.TryAdd(Path, true);
        if (OperatingSystem.IsWindows())
            Directory.CreateDirectory(Path);
        else
            Directory.CreateDirectory(Path, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
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

        s_existing.TryRemove(path, out _);
    }
}
