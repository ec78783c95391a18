using System.Buffers;
using System.Text;
using System.Text.Json;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.EarlyExit;

/// <summary>
/// What a saved transformer over a model consists of. Its streams are <c>Transformer.json</c> (columns, batch size, whether there is a policy, and the bundle: its
/// identity, and its files with their lengths, none where another transform of the same saved model has them, or its path), <c>Options.json</c>, <c>Policy.json</c>
/// where there is a policy, and every file of the bundle as <c>Bundle/NAME</c>.
/// </summary>
/// <param name="kind">What is saved, for messages.</param>
/// <param name="writeColumns">Writes the fields of <c>Transformer.json</c> that name columns.</param>
/// <param name="readColumns">Reads them again; an <see cref="ArgumentException"/> says that they do not fit together.</param>
internal sealed class SavedTransformer<TColumns>(string kind, Action<TColumns, Utf8JsonWriter> writeColumns, Func<JsonFields, TColumns> readColumns)
{
    private const string TransformerStream = "Transformer.json";
    private const string OptionsStream = "Options.json";
    private const string PolicyStream = "Policy.json";
    private const string BundlePrefix = "Bundle/";
    private const int MostFiles = 1000;
    private const int LongestFileName = 100;
    private const int IdentityLength = 64;

    /// <summary>Writes a transformer's streams.</summary>
    /// <param name="context">Where to.</param>
    /// <param name="bundle">The model's bundle, whose files are written unless the same saved model has them already.</param>
    /// <param name="columns">The columns.</param>
    /// <param name="options">The options.</param>
    /// <param name="referencePath">The bundle's path that is saved in the bundle's place; null where the bundle itself is saved.</param>
    internal void Save(ModelSaveContext context, ModelBundle bundle, TColumns columns, TextGenerationOptions options, string? referencePath)
    {
        bool storesFiles = referencePath is null && MLNetInterop.TryMarkStored(context, bundle.Identity);
        FileInfo[] files = storesFiles ? [.. bundle.FileNames.Select(name => FindFile(bundle.Folder, name))] : [];
        Save(TransformerStream, stream => stream.Write(WriteTransformer(bundle.Identity, columns, options, referencePath, files)));
        Save(OptionsStream, stream => stream.Write(Encoding.UTF8.GetBytes(TextGenerationOptionsJson.Write(options))));
        if (options.Exit is { } policy)
            Save(PolicyStream, stream => stream.Write(Encoding.UTF8.GetBytes(ExitPolicyJson.Write(policy))));
        foreach (FileInfo file in files)
        {
            Save(BundlePrefix + file.Name, stream =>
            {
                using FileStream source = file.OpenRead();
                source.CopyTo(stream);
            });
        }

        void Save(string name, Action<Stream> write) => MLNetInterop.SaveStream(context, name, write);
    }

    /// <summary>Reads a transformer's streams, and makes it.</summary>
    /// <param name="environment">The environment that loads.</param>
    /// <param name="tryReadStream">Hands a saved stream to a reader, false where there is none of that name.</param>
    /// <param name="create">Makes the transformer of its model, columns, options and the bundle's path, where that was saved; takes over the lease unless it throws.</param>
    /// <exception cref="InvalidDataException">A stream is missing, damaged, or not what it should be.</exception>
    /// <exception cref="InvalidModelException">The bundle is damaged, or another than the one that was saved.</exception>
    internal T Load<T>(
        IHostEnvironment environment, Func<string, Action<Stream>, bool> tryReadStream, Func<ModelLease, TColumns, TextGenerationOptions, string?, T> create)
    {
        try
        {
            Content content = ReadStream(tryReadStream, TransformerStream, json => JsonFields.Parse(json, Describe(TransformerStream), ReadTransformer));
            TextGenerationOptions options = ReadStream(tryReadStream, OptionsStream, json => TextGenerationOptionsJson.Parse(json, Describe(OptionsStream)));
            options = options with { BatchSize = content.BatchSize };
            if (content.HasPolicy)
                options = options with { Exit = ReadStream(tryReadStream, PolicyStream, json => ExitPolicyJson.Parse(json, Describe(PolicyStream))) };
            ModelLease lease = Lease(environment, tryReadStream, content);
            try
            {
                return create(lease, content.Columns, options, content.ReferencePath);
            }
            catch
            {
                lease.Dispose();
                throw;
            }
        }
        catch (InvalidModelException exception) when (exception.InnerException is not null)
        {
            // ML.NET wraps what is thrown here, so users look at the innermost exception: it must be the one with our message.
            throw new InvalidModelException(exception.Message);
        }
    }

    private ModelLease Lease(IHostEnvironment environment, Func<string, Action<Stream>, bool> tryReadStream, Content content)
    {
        if (content.ReferencePath is { } path)
        {
            if (!Directory.Exists(path))
            {
                throw new DirectoryNotFoundException(
                    $"The model was saved by reference to its bundle at '{path}', and there is no folder at '{Path.GetFullPath(path)}'. Put the bundle there, or save with the bundle inside.");
            }

            return ModelSource.Load(environment, path, identity: content.Identity);
        }

        // The transform of the same saved model that has the bundle was loaded just before.
        if (content.Files.Length == 0)
        {
            return ModelSource.TryShareLoaded(environment, content.Identity)
                ?? throw Damaged(TransformerStream, "refers to the bundle of another transform of the saved model, which is missing");
        }

        var folder = new TemporaryFolder(MLNetInterop.GetTempPath(environment));
        try
        {
            Unpack(tryReadStream, content.Files, folder.Path);
        }
        catch
        {
            folder.Dispose();
            throw;
        }

        return ModelSource.Load(environment, folder.Path, null, folder, content.Identity);
    }

    /// <summary>Reads the bundle's files into a folder.</summary>
    private void Unpack(Func<string, Action<Stream>, bool> tryReadStream, (string Name, long Length)[] files, string folder)
    {
        foreach ((string name, long length) in files)
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

    private T ReadStream<T>(Func<string, Action<Stream>, bool> tryReadStream, string name, Func<Stream, T> read)
    {
        T result = default!;
        return tryReadStream(name, stream => result = read(stream))
            ? result
            : throw Damaged(name, "is missing");
    }

    private InvalidDataException Damaged(string streamName, string what) =>
        new($"{Describe(streamName)} {what}: the saved model is damaged; save it again.");

    private string Describe(string streamName) => $"{streamName} of the saved {kind}";

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

    private ReadOnlySpan<byte> WriteTransformer(string identity, TColumns columns, TextGenerationOptions options, string? referencePath, FileInfo[] files)
    {
        var buffer = new ArrayBufferWriter<byte>();
        using (var writer = new Utf8JsonWriter(buffer, new JsonWriterOptions { Indented = true }))
        {
            writer.WriteStartObject();
            writeColumns(columns, writer);
            writer.WriteNumber("batchSize", options.BatchSize);
            writer.WriteBoolean("policy", options.Exit is not null);
            writer.WriteString("bundle", identity);
            if (referencePath is not null)
                writer.WriteString("bundlePath", referencePath);
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

    private Content ReadTransformer(JsonFields fields)
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
        try
        {
            return new Content(readColumns(fields), batchSize, hasPolicy, identity, path, files);
        }
        catch (ArgumentException exception)
        {
            throw new InvalidDataException($"{Describe(TransformerStream)}: {exception.Message}");
        }
    }

    /// <summary>What <c>Transformer.json</c> holds.</summary>
    private sealed record Content(
        TColumns Columns, int BatchSize, bool HasPolicy, string Identity, string? ReferencePath, (string Name, long Length)[] Files);
}
