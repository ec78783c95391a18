using System.IO.Compression;

namespace Microsoft.ML.EarlyExit.Interop;

/// <summary>
/// The streams of one saved component, read where they lie in ML.NET's zip. ML.NET itself would first unpack one into a temporary file, of whatever length it
/// has.
/// </summary>
internal sealed class SavedStreams
{
    private readonly Dictionary<string, ZipArchiveEntry> _entries;

    /// <param name="entries">The entries of the zip by their path, with slashes.</param>
    /// <param name="directory">The component's folder in the zip; null for its root.</param>
    public SavedStreams(IEnumerable<KeyValuePair<string, ZipArchiveEntry>> entries, string? directory)
    {
        string prefix = string.IsNullOrEmpty(directory) ? "" : directory.Replace('\\', '/').TrimEnd('/') + "/";
        _entries = entries
            .Where(entry => entry.Key.StartsWith(prefix, StringComparison.Ordinal))
            .ToDictionary(entry => entry.Key[prefix.Length..], entry => entry.Value, StringComparer.Ordinal);
    }

    /// <summary>The names of all streams, those of components within this one too.</summary>
    public IEnumerable<string> Names => _entries.Keys;

    /// <summary>The bytes that a stream has unpacked; null where there is none of that name. Reading it gives no more.</summary>
    public long? LengthOf(string name) => _entries.GetValueOrDefault(name)?.Length;

    /// <summary>Hands a stream to a reader.</summary>
    /// <returns>Whether there is one of that name.</returns>
    /// <exception cref="InvalidDataException">It is damaged.</exception>
    public bool TryRead(string name, Action<Stream> read)
    {
        if (!_entries.TryGetValue(name, out ZipArchiveEntry? entry))
            return false;
        using Stream stream = entry.Open();
        read(stream);
        return true;
    }
}
