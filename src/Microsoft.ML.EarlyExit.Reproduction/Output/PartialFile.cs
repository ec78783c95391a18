using System.Text;

namespace Microsoft.ML.EarlyExit.Reproduction.Output;

/// <summary>
/// An output file that is written beside its place, as <c>NAME.partial</c>, and moved there when complete. What was written of an incomplete one stays there.
/// </summary>
internal sealed class PartialFile : IDisposable
{
    private readonly string _path;
    private readonly StreamWriter _writer;
    private bool _isComplete;

    private PartialFile(string path, long keptBytes)
    {
        _path = path;
        Path = PathOf(path);
        var stream = new FileStream(Path, keptBytes > 0 ? FileMode.Open : FileMode.Create, FileAccess.Write, FileShare.Read);
        stream.SetLength(keptBytes);
        stream.Position = keptBytes;
        _writer = new StreamWriter(stream, new UTF8Encoding(encoderShouldEmitUTF8Identifier: false));
    }

    /// <summary>Where the text is until it is complete.</summary>
    public string Path { get; }

    public TextWriter Writer => _writer;

    /// <summary>Fails where the file could not be written or would destroy what is read, before any work is done for it.</summary>
    /// <param name="path">The file to write.</param>
    /// <param name="source">A file that is read meanwhile; null for none.</param>
    /// <exception cref="IOException">The place is no place for a file.</exception>
    public static void Check(string path, string? source)
    {
        string full = System.IO.Path.GetFullPath(path);
        if (Directory.Exists(full))
            throw new IOException($"The output '{path}' is a folder; name a file.");
        if (!Directory.Exists(System.IO.Path.GetDirectoryName(full)))
            throw new DirectoryNotFoundException($"The folder of the output '{path}' does not exist; create it first.");
        if (source is not null && System.IO.Path.GetFullPath(source) == PathOf(full))
            throw new IOException($"The input '{source}' is where the output '{path}' is written until it is complete; rename one of them.");
        // Moving a file onto a device would replace the device.
        if (File.Exists(full) && full.StartsWith("/dev/", StringComparison.Ordinal))
            throw new IOException($"The output '{path}' is a device; leave the output out to write to standard output.");
    }

    /// <summary>Creates <c>NAME.partial</c>, or goes on with one that an earlier run left.</summary>
    /// <param name="path">The file to write.</param>
    /// <param name="keptBytes">How much stays of what was left; the rest is cut off.</param>
    public static PartialFile Create(string path, long keptBytes = 0) => new(path, keptBytes);

    /// <summary>Where a file is until it is complete.</summary>
    public static string PathOf(string path) => $"{path}.partial";

    /// <summary>Closes the file and moves it to its place, where it replaces an older one.</summary>
    public void Complete()
    {
        _writer.Dispose();
        File.Move(Path, _path, overwrite: true);
        _isComplete = true;
    }

    public void Dispose()
    {
        try
        {
            _writer.Dispose();
        }
        catch (IOException) when (!_isComplete)
        {
            // What could not be written failed before, with its own message.
        }

        if (!_isComplete && File.Exists(Path) && new FileInfo(Path).Length == 0)
            File.Delete(Path);
    }
}
