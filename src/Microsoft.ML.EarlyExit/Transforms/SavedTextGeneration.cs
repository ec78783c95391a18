using System.Buffers;
using System.Text;
using System.Text.Json;

namespace Microsoft.ML.EarlyExit;

/// <summary>
/// The streams of a saved <see cref="TextGenerationTransformer"/>: <c>Transformer.json</c> (columns, batch size, whether there is a policy, the
/// bundle's files with their lengths),
/// <c>Options.json</c>, <c>Policy.json</c> where there is a policy, and every file of the bundle as <c>Bundle/NAME</c>.
/// </summary>
internal static class SavedTextGeneration
{
    private const string TransformerStream = "Transformer.json";
    private const string OptionsStream = "Options.json";
    private const string PolicyStream = "Policy.json";
    private const string BundlePrefix = "Bundle/";
    private const int MostFiles = 1000;
    private const int LongestFileName = 100;

    internal static void Save(
        Action<string, Action<Stream>> saveStream,
        TextGenerationColumns columns,
        TextGenerationOptions options,
        string bundlePath,
        IReadOnlyList<string> bundleFiles)
    {
        FileInfo[] files = [.. bundleFiles.Select(name => FindFile(bundlePath, name))];
        saveStream(TransformerStream, stream => stream.Write(WriteTransformer(columns, options, files)));
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

    /// <summary>Reads the streams, and the bundle's files into a folder.</summary>
    /// <exception cref="InvalidDataException">A stream is missing, damaged, or not what it should be.</exception>
    internal static (TextGenerationColumns Columns, TextGenerationOptions Options) Load(Func<string, Action<Stream>, bool> tryReadStream, string folder)
    {
        (TextGenerationColumns columns, int batchSize, bool hasPolicy, (string Name, long Length)[] files) =
            Read(TransformerStream, json => JsonFields.Parse(json, Describe(TransformerStream), ReadTransformer));
        TextGenerationOptions options = Read(OptionsStream, json => TextGenerationOptionsJson.Parse(json, Describe(OptionsStream)));
        options = options with { BatchSize = batchSize };
        if (hasPolicy)
            options = options with { Exit = Read(PolicyStream, json => ExitPolicyJson.Parse(json, Describe(PolicyStream))) };
        foreach ((string name, long length) in files)
        {
            Read(BundlePrefix + name, source =>
            {
                if (source.Length != length)
                    throw Damaged(BundlePrefix + name, $"has {source.Length} bytes instead of {length}");
                using FileStream target = File.Create(Path.Combine(folder, name));
                source.CopyTo(target);
                return true;
            });
        }

        return (columns, options);

        T Read<T>(string name, Func<Stream, T> read)
        {
            T result = default!;
            return tryReadStream(name, stream => result = read(stream))
                ? result
                : throw Damaged(name, "is missing");
        }
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

    private static ReadOnlySpan<byte> WriteTransformer(TextGenerationColumns columns, TextGenerationOptions options, FileInfo[] files)
    {
        var buffer = new ArrayBufferWriter<byte>();
        using (var writer = new Utf8JsonWriter(buffer, new JsonWriterOptions { Indented = true }))
        {
            writer.WriteStartObject();
            writer.WriteString("outputColumnName", columns.Output);
            writer.WriteString("inputColumnName", columns.Input);
            if (columns.ExitLayers is { } exitLayers)
                writer.WriteString("exitLayersColumnName", exitLayers);
            writer.WriteNumber("batchSize", options.BatchSize);
            writer.WriteBoolean("policy", options.Exit is not null);
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

    private static (TextGenerationColumns Columns, int BatchSize, bool HasPolicy, (string Name, long Length)[] Files) ReadTransformer(JsonFields fields)
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
        string? exitLayers = fields.Has("exitLayersColumnName") ? fields.GetString("exitLayersColumnName") : null;
        try
        {
            var columns = new TextGenerationColumns(fields.GetString("outputColumnName"), fields.GetString("inputColumnName"), exitLayers);
            return (columns, batchSize, hasPolicy, files);
        }
        catch (ArgumentException exception)
        {
            throw new InvalidDataException($"{Describe(TransformerStream)}: {exception.Message}");
        }
    }
}
