namespace Microsoft.ML;

/// <summary>Saving models so that no moment of it can lose one, in <c>mlContext.Model</c>.</summary>
public static class ModelSavingCatalog
{
    /// <summary>Saves a model as <c>mlContext.Model.Save</c> does, but replaces an older file in one step: <c>Save</c> empties it first, so that a
    /// process killed meanwhile leaves neither model.</summary>
    /// <remarks>
    /// <para>After a crash or a kill at any moment the path holds the old file whole or the new one whole. The new one is written beside it, as
    /// <c>NAME.GUID.partial</c>, written through to the disk, and moved to its place. An exception leaves the old file and no partial one; a killed
    /// process can leave its partial file, which may be deleted.</para>
    /// <para>Any transformer can be saved, and <c>mlContext.Model.Load</c> loads what was saved. Who reads the old file meanwhile goes on reading it,
    /// except on Windows, where a file in use cannot be replaced. A replaced file's Unix mode is kept, and a symbolic link's target is what is replaced.
    /// Several savers of one path do not disturb each other: the last one's model stays.</para>
    /// </remarks>
    /// <param name="catalog">The catalog.</param>
    /// <param name="model">The model.</param>
    /// <param name="inputSchema">The schema of the model's input; null to save none.</param>
    /// <param name="filePath">The file to write; its folder must exist, with room for the old and the new file.</param>
    /// <exception cref="ArgumentNullException">An argument other than the schema is null.</exception>
    /// <exception cref="ArgumentException">The path is empty.</exception>
    /// <exception cref="DirectoryNotFoundException">The path's folder does not exist.</exception>
    /// <exception cref="IOException">The path is a folder or a device, or the file cannot be written or replaced.</exception>
    /// <exception cref="UnauthorizedAccessException">The folder or the older file must not be written.</exception>
    public static void SaveAtomically(this ModelOperationsCatalog catalog, ITransformer model, DataViewSchema? inputSchema, string filePath)
    {
        ArgumentNullException.ThrowIfNull(catalog);
        ArgumentNullException.ThrowIfNull(model);
        ArgumentException.ThrowIfNullOrEmpty(filePath);
        string path = FindPlace(filePath);
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
            Write(partial, mode, stream => catalog.Save(model, inputSchema, stream));
            File.Move(partial, path, overwrite: true);
        }
        catch
        {
            Delete(partial);
            throw;
        }
    }

    /// <summary>The file to replace, which is where links lead.</summary>
    private static string FindPlace(string filePath)
    {
        string path = Path.GetFullPath(filePath);
        if (new FileInfo(path) is { LinkTarget: not null } link)
            path = link.ResolveLinkTarget(returnFinalTarget: true)!.FullName;
        if (Directory.Exists(path))
            throw new IOException($"The model file '{filePath}' is a folder; name a file.");
        if (!Directory.Exists(Path.GetDirectoryName(path)))
            throw new DirectoryNotFoundException($"The folder of the model file '{filePath}' does not exist; create it first.");

        // Moving a file onto a device would replace the device; /dev/shm holds files.
        if (File.Exists(path) && path.StartsWith("/dev/", StringComparison.Ordinal) && !path.StartsWith("/dev/shm/", StringComparison.Ordinal))
            throw new IOException($"The model file '{filePath}' is a device; name a file.");
        return path;
    }

    private static void Write(string path, UnixFileMode? mode, Action<Stream> save)
    {
        var options = new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.ReadWrite, Share = FileShare.None };

        // From the start, so that the new file is never open to more users than the old one.
        if (mode is not null && !OperatingSystem.IsWindows())
            options.UnixCreateMode = mode;
        using var stream = new FileStream(path, options);
        save(stream);
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
