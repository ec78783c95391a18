namespace Microsoft.ML.EarlyExit.Evaluation.Files;

/// <summary>Opens files that a user named, which may be pipes: a shell makes one of <c>&lt;(command)</c>. For the files of models see
/// <c>RegularFile</c>.</summary>
internal static class InputFile
{
    /// <summary>Opens a file for reading from its start to its end.</summary>
    /// <exception cref="IOException">There is no such file, or it is a folder.</exception>
    public static FileStream Open(string path)
    {
        if (Directory.Exists(path))
            throw new IOException($"'{path}' is a folder; name a file.");
        if (!File.Exists(path))
            throw new FileNotFoundException($"There is no file '{path}'.");
        return new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite, bufferSize: 1 << 16, FileOptions.SequentialScan);
    }

    /// <summary>Reads a whole file.</summary>
    /// <param name="path">The file.</param>
    /// <param name="parse">Makes something of its bytes; is told its name for messages.</param>
    public static T Read<T>(string path, Func<Stream, string, T> parse)
    {
        using FileStream stream = Open(path);
        return parse(stream, path);
    }
}
