namespace Microsoft.ML.EarlyExit.Files;

/// <summary>Writes a file so that at every moment its path holds the old one whole or the new one whole.</summary>
internal static class AtomicFile
{
    /// <summary>Writes beside the file, through to the disk, and moves what was written into its place.</summary>
    /// <param name="filePath">The file; its folder must exist. A link's target is what is replaced.</param>
    /// <param name="kind">What the file is, for messages.</param>
    /// <param name="write">Writes the content; what it throws leaves the old file and no partial one.</param>
    /// <exception cref="DirectoryNotFoundException">The folder does not exist.</exception>
    /// <exception cref="IOException">The path is a folder or a device, or the file cannot be written or replaced.</exception>
    /// <exception cref="UnauthorizedAccessException">The folder or the older file must not be written.</exception>
    internal static void Write(string filePath, string kind, Action<Stream> write)
    {
        string path = FindPlace(filePath, kind);
        UnixFileMode? mode = null;
        if (File.Exists(path))
        {
            // Moving over a file does not ask whether it may be written.
            File.OpenHandle(path, FileMode.Open, FileAccess.Write, FileShare.ReadWrite | FileShare.Delete).Dispose();
            if (!OperatingSystem.IsWindows())
                mode = File.GetUnixFileMode(path);
        }

        string partial = $"{path}.{Guid.NewGuid():N}.partial";
        try
        {
            WritePartial(partial, mode, write);
            File.Move(partial, path, overwrite: true);
        }
        catch
        {
            Delete(partial);
            throw;
        }
    }

    /// <summary>The file to replace, which is where links lead.</summary>
    private static string FindPlace(string filePath, string kind)
    {
        string path = Path.GetFullPath(filePath);
        if (new FileInfo(path) is { LinkTarget: not null } link)
            path = link.ResolveLinkTarget(returnFinalTarget: true)!.FullName;
        if (Directory.Exists(path))
            throw new IOException($"The {kind} '{filePath}' is a folder; name a file.");
        if (!Directory.Exists(Path.GetDirectoryName(path)))
            throw new DirectoryNotFoundException($"The folder of the {kind} '{filePath}' does not exist; create it first.");

        // Moving a file onto a device would replace the device; /dev/shm holds files.
        if (File.Exists(path) && path.StartsWith("/dev/", StringComparison.Ordinal) && !path.StartsWith("/dev/shm/", StringComparison.Ordinal))
            throw new IOException($"The {kind} '{filePath}' is a device; name a file.");
        return path;
    }

    private static void WritePartial(string path, UnixFileMode? mode, Action<Stream> write)
    {
        var options = new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.ReadWrite, Share = FileShare.None };

        // From the start, so that the new file is never open to more users than the old one.
        if (mode is not null && !OperatingSystem.IsWindows())
            options.UnixCreateMode = mode;
        using var stream = new FileStream(path, options);
        write(stream);
        stream.Flush(flushToDisk: true);

        // Again, since creating leaves out what the process's umask forbids.
        if (mode is { } kept && !OperatingSystem.IsWindows())
            File.SetUnixFileMode(stream.SafeFileHandle, kept);
    }

    private static void Delete(string partial)
    {
        try
        {
            File.Delete(partial);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            // What failed before says more.
        }
    }
}
