namespace Microsoft.ML.EarlyExit;

/// <summary>Opens files that a user named.</summary>
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
}
