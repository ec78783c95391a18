using System.Buffers;
using System.Text;
using System.Text.Json;

namespace Microsoft.ML.EarlyExit;

/// <summary>
/// What a saved <see cref="TextGenerationTransformer"/> consists of. Its streams are <c>Transformer.json</c> (columns, batch size, whether there is a policy, and the
/// bundle: its identity, and its files with their lengths, none where another transform of the same saved model has them, or its path), <c>Options.json</c>,
/// <c>Policy.json</c> where there is a policy, and every file of the bundle as <c>Bundle/NAME</c>.
/// </summary>
internal sealed class SavedTextGeneration
{
    private const string TransformerStream = "Transformer.json";
    private const string OptionsStream = "Options.json";
    private const string PolicyStream = "Policy.json";
    private const string BundlePrefix = "Bundle/";
    private const int MostFiles = 1000;
    private const int LongestFileName = 100;
    private const int IdentityLength = 64;

    private SavedTextGeneration(TextGenerationColumns columns, TextGenerationOptions options, string identity, string? referencePath, (string, long)[] files)
    {
        Columns = columns;
        Options = options;
        Identity = identity;
        ReferencePath = referencePath;
        Files = files;
    }

    internal TextGenerationColumns Columns { get; }

    internal TextGenerationOptions Options { get; }

    /// <summary>The bundle's identity, see <see cref="ModelBundle.Identity"/>.</summary>
    internal string Identity { get; }

    /// <summary>The bundle's folder; null where the files are saved.</summary>
    internal string? ReferencePath { get; }

    /// <summary>The bundle's files; none where they are not saved, or saved with another transform.</summary>
    internal IReadOnlyList<(string Name, long Length)> Files { get; }

    /// <summary>Writes a transformer's streams.</summary>
    /// <param name="saveStream">Saves what is written to a stream under a name.</param>
    /// <param name="transformer">The transformer.</param>
    /// <param name="isBundleStored">Whether the same saved model has the bundle already.</param>
    internal static void Save(Action<string, Action<Stream>> saveStream, TextGenerationTransformer transformer, bool isBundleStored)
    {
        ModelBundle bundle = transformer.Model.Bundle;
        TextGenerationOptions options = transformer.GenerationOptions;
        FileInfo[] files = transformer.ReferencePath is not null || isBundleStored ? [] : [.. bundle.FileNames.Select(name => FindFile(bundle.Folder, name))];
        saveStream(TransformerStream, stream => stream.Write(WriteTransformer(transformer, files)));
        saveStream(OptionsStream, stream => stream.Write(Encoding.UTF8.GetBytes(TextGenerationOptionsJson.Write(options))));
        if (options.Exit is { } policy)
            saveStream(PolicyStream, stream => stream.Write(Encoding.UTF8.GetBytes(ExitPolicyJson.Write(policy))));
        foreach (FileInfo file in files)
        {
            saveStream(BundlePrefix + file.Name, stream =>
            {
                using FileStream source = file.OpenRead();
                source.CopyTo(stream);
            });
        }
    }

    /// <summary>Reads all streams but the bundle's files.</summary>
    /// <exception cref="InvalidDataException">A stream is missing, damaged, or not what it should be.</exception>
    internal static SavedTextGeneration Read(Func<string, Action<Stream>, bool> tryReadStream)
    {
        var read = ReadStream(tryReadStream, TransformerStream, json => JsonFields.Parse(json, Describe(TransformerStream), ReadTransformer));
        TextGenerationOptions options = ReadStream(tryReadStream, OptionsStream, json => TextGenerationOptionsJson.Parse(json, Describe(OptionsStream)));
        options = options with { BatchSize = read.BatchSize };
        if (read.HasPolicy)
            options = options with { Exit = ReadStream(tryReadStream, PolicyStream, json => ExitPolicyJson.Parse(json, Describe(PolicyStream))) };
        return new SavedTextGeneration(read.Columns, options, read.Identity, read.ReferencePath, read.Files);
    }

    /// <summary>Reads the bundle's files into a folder.</summary>
    /// <exception cref="InvalidDataException">A file is missing, or not of its length.</exception>
    internal void Unpack(Func<string, Action<Stream>, bool> tryReadStream, string folder)
    {
        foreach ((string name, long length) in Files)
        {
            ReadStream(tryReadStream, BundlePrefix + name, source =>
            {
                if (source.Length != length)
                    throw Damaged(BundlePrefix + name, $"has {source.Length} bytes instead of {length}");
                using FileStream target = File.Create(Path.Combine(folder, name));
                source.CopyTo(target);
                return true;
            });
        }
    }

    /// <summary>What to throw where no transform of the saved model has the bundle.</summary>
    internal static InvalidDataException BundleIsMissing() => Damaged(TransformerStream, "refers to the bundle of another transform of the saved model, which is missing");

    private static T ReadStream<T>(Func<string, Action<Stream>, bool> tryReadStream, string name, Func<Stream, T> read)
    {
        T result = default!;
        return tryReadStream(name, stream => result = read(stream))
            ? result
            : throw Damaged(name, "is missing");
    }

    private static InvalidDataException Damaged(string streamName, string what) =>
        new($"{Describe(streamName)} {what}: the saved model is damaged; save it again.");

    private static string Describe(string streamName) => $"{streamName} of the saved text generation";

    private static FileInfo FindFile(string folder, string name)
    {
        if (!IsFileName(name))
            throw new InvalidOperationException($"The model bundle {folder} has a file '{name}'; only ASCII letters, digits, '.', '_' and '-' can be saved.");
        var file = new FileInfo(Path.Combine(folder, name));
        return file.Exists
            ? file
            : throw new FileNotFoundException($"{file.FullName} is gone since the model was loaded; it is needed to save the model.", file.FullName);
    }

    // Stricter than any file system, so that a name can neither leave its folder nor mean something else on another system.
    private static bool IsFileName(string name) =>
        name.Length is > 0 and <= LongestFileName
        && name[0] != '.'
        && name[^1] != '.'
        && !name.Contains("..", StringComparison.Ordinal)
        && name.All(character => char.IsAsciiLetterOrDigit(character) || character is '.' or '_' or '-');

    private static ReadOnlySpan<byte> WriteTransformer(TextGenerationTransformer transformer, FileInfo[] files)
    {
        var buffer = new ArrayBufferWriter<byte>();
        using (var writer = new Utf8JsonWriter(buffer, new JsonWriterOptions { Indented = true }))
        {
            writer.WriteStartObject();
            writer.WriteString("inputColumnName", transformer.Columns.Input);
            foreach ((GeneratedColumn column, string name) in transformer.Columns.Outputs)
                writer.WriteString(column.Parameter, name);
            writer.WriteNumber("batchSize", transformer.GenerationOptions.BatchSize);
            writer.WriteBoolean("policy", transformer.GenerationOptions.Exit is not null);
            writer.WriteString("bundle", transformer.Model.Bundle.Identity);
            if (transformer.ReferencePath is { } path)
                writer.WriteString("bundlePath", path);
            writer.WriteStartArray("files");
            foreach (FileInfo file in files)
            {
                writer.WriteStartObject();
                writer.WriteString("name", file.Name);
                writer.WriteNumber("length", file.Length);
                writer.WriteEndObject();
            }

            writer.WriteEndArray();
            writer.WriteEndObject();
        }

        return buffer.WrittenSpan;
    }

    private static (TextGenerationColumns Columns, int BatchSize, bool HasPolicy, string Identity, string? ReferencePath, (string Name, long Length)[] Files) ReadTransformer(
        JsonFields fields)
    {
        (string Name, long Length)[] files = fields.GetObjects("files", file => IsFileName(file.GetString("name"))
            ? (file.GetString("name"), file.GetInt64("length"))
            : throw file.Refuse("name", "it must be a plain file name"));
        if (files.Length > MostFiles)
            throw fields.Refuse("files", $"it must have at most {MostFiles} items");

        // Without regard to case: some file systems would write one file over the other.
        if (files.GroupBy(file => file.Name, StringComparer.OrdinalIgnoreCase).FirstOrDefault(group => group.Count() > 1) is { } twice)
            throw new InvalidDataException($"{Describe(TransformerStream)}: the file {twice.Key} occurs twice.");

        int batchSize = fields.Set(new TextGenerationOptions(), "batchSize", options => options with { BatchSize = fields.GetInt32("batchSize") }).BatchSize;
        bool hasPolicy = fields.GetBoolean("policy");
        string identity = fields.GetString("bundle");
        if (identity.Length != IdentityLength || !identity.All(char.IsAsciiHexDigitLower))
            throw fields.Refuse("bundle", "it must be a SHA-256 in hexadecimal digits");
        string? path = fields.Has("bundlePath") ? fields.GetString("bundlePath") : null;
        if (path is not null && (string.IsNullOrWhiteSpace(path) || path.Contains('\0', StringComparison.Ordinal) || files.Length > 0))
            throw fields.Refuse("bundlePath", "it must be a folder's path, and there must be no files beside it");
        var outputs = GeneratedColumn.All.Select(column => (column, fields.Has(column.Parameter) ? fields.GetString(column.Parameter) : null)).ToList();
        try
        {
            return (new TextGenerationColumns(fields.GetString("inputColumnName"), outputs), batchSize, hasPolicy, identity, path, files);
        }
        catch (ArgumentException exception)
        {
            throw new InvalidDataException($"{Describe(TransformerStream)}: {exception.Message}");
        }
    }
}
