using System.Buffers;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Microsoft.ML.EarlyExit.Evaluation.Json;
using Microsoft.ML.EarlyExit.Exit;
using Microsoft.ML.EarlyExit.Files;
using Microsoft.ML.EarlyExit.Generation;
using Microsoft.ML.EarlyExit.Interop;
using Microsoft.ML.EarlyExit.Model.Bundle;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.EarlyExit.ModelSharing;

/// <summary>
/// What a saved transformer over a model consists of. Its streams are <c>Transformer.json</c> (columns, batch size, whether there is a policy, and the bundle:
/// its identity, and its files with their lengths, none where another transform of the same saved model has them, or its path), <c>Options.json</c>,
/// <c>Policy.json</c> where there is a policy, and every file of the bundle as <c>Bundle/NAME</c>. <c>Transformer.json</c> also has the SHA-256 of options and
/// policy; earlier versions saved none.
/// </summary>
/// <param name="component">What is saved.</param>
/// <param name="writeColumns">Writes the fields of <c>Transformer.json</c> that name columns.</param>
/// <param name="readColumns">Reads them again; an <see cref="ArgumentException"/> says that they do not fit together.</param>
internal sealed class SavedTransformer<TColumns>(
    SavedComponent component, Action<TColumns, Utf8JsonWriter> writeColumns, Func<JsonFields, TColumns> readColumns)
{
    private const string TransformerStream = "Transformer.json";
    private const string OptionsStream = "Options.json";
    private const string PolicyStream = "Policy.json";
    private const string BundlePrefix = "Bundle/";
    private const int MostFiles = 1000;
    private const int LongestFileName = 100;
    private const int HashLength = 64;

    /// <summary>Writes a transformer's streams.</summary>
    /// <param name="context">Where to.</param>
    /// <param name="bundle">The model's bundle, whose files are written unless the same saved model has them already.</param>
    /// <param name="columns">The columns.</param>
    /// <param name="options">The options.</param>
    /// <param name="referencePath">The bundle's path that is saved in the bundle's place; null where the bundle itself is saved.</param>
    internal void Save(ModelSaveContext context, ModelBundle bundle, TColumns columns, TextGenerationOptions options, string? referencePath)
    {
        MLNetInterop.BeginSave(context, component);
        bool storesFiles = referencePath is null && MLNetInterop.TryMarkStored(context, bundle.Identity);
        (string Name, long Length)[] files = storesFiles ? [.. bundle.FileNames.Select(name => FindFile(bundle, name))] : [];
        byte[] optionsJson = Encoding.UTF8.GetBytes(TextGenerationOptionsJson.Write(options));
        byte[]? policyJson = options.Exit is { } policy ? Encoding.UTF8.GetBytes(ExitPolicyJson.Write(policy)) : null;
        Save(TransformerStream, stream => stream.Write(
            WriteTransformer(bundle.Identity, columns, options, Hash(optionsJson), policyJson is null ? null : Hash(policyJson), referencePath, files)));
        Save(OptionsStream, stream => stream.Write(optionsJson));
        if (policyJson is not null)
            Save(PolicyStream, stream => stream.Write(policyJson));
        foreach ((string name, _) in files)
            Save(BundlePrefix + name, stream => bundle.CopyFile(name, stream));

        void Save(string name, Action<Stream> write) => MLNetInterop.SaveStream(context, name, write);
    }

    /// <summary>Reads a transformer's streams, and makes it.</summary>
    /// <param name="environment">The environment that loads.</param>
    /// <param name="streams">What was saved.</param>
    /// <param name="create">Makes the transformer of its model, columns, options and the bundle's path, where that was saved; takes over the lease unless it
    /// throws.</param>
    /// <exception cref="InvalidDataException">A stream is missing, damaged, or not what it should be.</exception>
    /// <exception cref="InvalidModelException">The bundle is damaged, or another than the one that was saved, or options or policy were changed.</exception>
    internal T Load<T>(IHostEnvironment environment, SavedStreams streams, Func<ModelLease, TColumns, TextGenerationOptions, string?, T> create)
    {
        try
        {
            Content content = JsonFields.Parse(new MemoryStream(Read(streams, TransformerStream)), Describe(TransformerStream), ReadTransformer);
            TextGenerationOptions options = ReadPart(streams, OptionsStream, content.OptionsSha256, TextGenerationOptionsJson.Parse);
            options = options with { BatchSize = content.BatchSize };
            // Whoever saved without hashes had a missing text generate as the empty one.
            if (content.OptionsSha256 is null)
                options = options with { MissingTexts = MissingTextHandling.UseEmptyText };
            if (content.HasPolicy)
                options = options with { Exit = ReadPart(streams, PolicyStream, content.PolicySha256, ExitPolicyJson.Parse) };
            ModelLease lease = Lease(environment, streams, content);
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

    private ModelLease Lease(IHostEnvironment environment, SavedStreams streams, Content content)
    {
        if (content.ReferencePath is { } path)
        {
            if (!Directory.Exists(path))
            {
                throw new DirectoryNotFoundException(
                    $"The model was saved by reference to its bundle at '{path}', and there is no folder at '{Path.GetFullPath(path)}'. "
                    + "Put the bundle there, or save with the bundle inside.");
            }

            return ModelSource.Load(environment, path, identity: content.Identity);
        }

        // The transform of the same saved model that has the bundle was loaded just before.
        if (content.Files.Length == 0)
        {
            return ModelSource.TryShareLoaded(environment, content.Identity)
                ?? throw Damaged(TransformerStream, "refers to the bundle of another transform of the saved model, which is missing");
        }

        BundleManifest manifest = CheckFiles(streams, content);
        string parent = MLNetInterop.GetTempPath(environment);

        // The manifest allows for no overflow.
        long needed = content.Files.Sum(file => file.Length);
        if (DiskSpace.Available(parent) is { } available && available < needed)
        {
            throw new IOException(
                $"The saved model unpacks to {needed} bytes, but only {available} are free in '{parent}'. "
                + "Make room, or set MLContext.TempFilePath to a folder on another disk.");
        }

        var folder = new TemporaryFolder(parent);
        try
        {
            Unpack(streams, manifest, folder.Path);
        }
        catch
        {
            folder.Dispose();
            throw;
        }

        return ModelSource.Load(environment, folder.Path, null, folder, content.Identity);
    }

    /// <summary>Checks that the zip has the files of the bundle's manifest, each as long as that says, and no others, before anything is unpacked.</summary>
    private BundleManifest CheckFiles(SavedStreams streams, Content content)
    {
        foreach ((string name, long length) in content.Files)
        {
            if (streams.LengthOf(BundlePrefix + name) is not { } found)
                throw Damaged(BundlePrefix + name, "is missing");
            if (found != length)
                throw Damaged(BundlePrefix + name, $"has {found} bytes instead of {length}");
        }

        string manifestStream = BundlePrefix + BundleManifest.FileName;
        byte[] json = Read(streams, manifestStream, BundleManifest.LargestBytes);
        if (Hash(json) != content.Identity)
        {
            throw new InvalidModelException(
                $"{Describe(manifestStream)} was changed: it is the manifest of another model bundle than the one that was saved. Save the model again.");
        }

        BundleManifest manifest = ModelBundle.ReadManifest(Describe(manifestStream), json);
        var files = manifest.Files.ToDictionary(file => file.Name, file => file.Bytes, StringComparer.Ordinal);
        files.Add(BundleManifest.FileName, json.Length);
        if (!content.Files.All(file => files.TryGetValue(file.Name, out long bytes) && bytes == file.Length) || files.Count != content.Files.Length)
            throw Damaged(TransformerStream, $"lists other files, or files of other lengths, than {BundleManifest.FileName} of the bundle does");
        string? more = streams.Names.FirstOrDefault(
            name => name.StartsWith(BundlePrefix, StringComparison.Ordinal) && !files.ContainsKey(name[BundlePrefix.Length..]));
        if (more is not null)
            throw Damaged(more, $"is not in the list of files in {TransformerStream}");
        return manifest;
    }

    /// <summary>Writes the bundle's files, which are checked already by their lengths, into a folder.</summary>
    private void Unpack(SavedStreams streams, BundleManifest manifest, string folder)
    {
        File.WriteAllBytes(Path.Combine(folder, BundleManifest.FileName), Read(streams, BundlePrefix + BundleManifest.FileName, BundleManifest.LargestBytes));
        byte[] buffer = new byte[1 << 16];
        foreach (BundleFile file in manifest.Files)
        {
            string name = BundlePrefix + file.Name;
            using FileStream target = File.Create(Path.Combine(folder, file.Name));
            using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
            long left = file.Bytes;
            streams.TryRead(name, source =>
            {
                for (int count; (count = source.Read(buffer, 0, (int)Math.Min(buffer.Length, left))) > 0; left -= count)
                {
                    hash.AppendData(buffer, 0, count);
                    target.Write(buffer, 0, count);
                }
            });
            if (left > 0)
                throw Damaged(name, $"ends {left} bytes early");
            if (Convert.ToHexStringLower(hash.GetHashAndReset()) != file.Sha256)
                throw new InvalidModelException($"{Describe(name)} was changed: its SHA-256 is not the manifest's. Save the model again.");
        }
    }

    /// <summary>Reads a small part of the settings, whose hash the other settings have.</summary>
    private T ReadPart<T>(SavedStreams streams, string name, string? sha256, Func<Stream, string, T> parse)
    {
        byte[] json = Read(streams, name);
        T part = parse(new MemoryStream(json), Describe(name));
        return sha256 is null || Hash(json) == sha256
            ? part
            : throw new InvalidModelException($"{Describe(name)} was changed: its SHA-256 is not the one in {TransformerStream}. Save the model again.");
    }

    private byte[] Read(SavedStreams streams, string name, int mostBytes = JsonFields.LargestSource)
    {
        if (streams.LengthOf(name) is not { } length)
            throw Damaged(name, "is missing");
        if (length > mostBytes)
            throw Damaged(name, $"has {length} bytes, and more than {mostBytes} are none of its kind");
        byte[] content = new byte[length];
        int read = 0;
        streams.TryRead(name, stream => read = stream.ReadAtLeast(content, content.Length, throwOnEndOfStream: false));
        return read == content.Length ? content : throw Damaged(name, $"ends {content.Length - read} bytes early");
    }

    private static string Hash(byte[] content) => Convert.ToHexStringLower(SHA256.HashData(content));

    private InvalidDataException Damaged(string streamName, string what) =>
        new($"{Describe(streamName)} {what}: the saved model is damaged; save it again.");

    private string Describe(string streamName) => $"{streamName} of the saved {component.Kind}";

    private static (string Name, long Length) FindFile(ModelBundle bundle, string name)
    {
        if (!IsFileName(name))
        {
            throw new InvalidOperationException(
                $"The model bundle {bundle.Folder} has a file '{name}'; only ASCII letters, digits, '.', '_' and '-' can be saved.");
        }

        string path = Path.Combine(bundle.Folder, name);
        return Path.Exists(path)
            ? (name, bundle.LengthOf(name))
            : throw new FileNotFoundException($"{path} is gone since the model was loaded; it is needed to save the model.", path);
    }

    // Stricter than any file system, so that a name can neither leave its folder nor mean something else on another system.
    private static bool IsFileName(string name) =>
        name.Length is > 0 and <= LongestFileName
        && name[0] != '.'
        && name[^1] != '.'
        && !name.Contains("..", StringComparison.Ordinal)
        && name.All(character => char.IsAsciiLetterOrDigit(character) || character is '.' or '_' or '-');

    private ReadOnlySpan<byte> WriteTransformer(
        string identity, TColumns columns, TextGenerationOptions options, string optionsSha256, string? policySha256, string? referencePath,
        (string Name, long Length)[] files)
    {
        var buffer = new ArrayBufferWriter<byte>();
        using (var writer = new Utf8JsonWriter(buffer, new JsonWriterOptions { Indented = true }))
        {
            writer.WriteStartObject();
            writeColumns(columns, writer);
            writer.WriteNumber("batchSize", options.BatchSize);
            writer.WriteBoolean("policy", options.Exit is not null);
            writer.WriteString("optionsSha256", optionsSha256);
            if (policySha256 is not null)
                writer.WriteString("policySha256", policySha256);
            writer.WriteString("bundle", identity);
            if (referencePath is not null)
                writer.WriteString("bundlePath", referencePath);
            writer.WriteStartArray("files");
            foreach ((string name, long length) in files)
            {
                writer.WriteStartObject();
                writer.WriteString("name", name);
                writer.WriteNumber("length", length);
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
        string identity = GetHash(fields, "bundle");
        string? optionsSha256 = fields.Has("optionsSha256") ? GetHash(fields, "optionsSha256") : null;
        string? policySha256 = fields.Has("policySha256") ? GetHash(fields, "policySha256") : null;
        string? path = fields.Has("bundlePath") ? fields.GetString("bundlePath") : null;
        if (path is not null && (string.IsNullOrWhiteSpace(path) || path.Contains('\0', StringComparison.Ordinal) || files.Length > 0))
            throw fields.Refuse("bundlePath", "it must be a folder's path, and there must be no files beside it");
        try
        {
            return new Content(readColumns(fields), batchSize, hasPolicy, optionsSha256, policySha256, identity, path, files);
        }
        catch (ArgumentException exception)
        {
            throw new InvalidDataException($"{Describe(TransformerStream)}: {exception.Message}");
        }
    }

    private static string GetHash(JsonFields fields, string name)
    {
        string hash = fields.GetString(name);
        return hash.Length == HashLength && hash.All(char.IsAsciiHexDigitLower)
            ? hash
            : throw fields.Refuse(name, "it must be a SHA-256 in hexadecimal digits");
    }

    /// <summary>What <c>Transformer.json</c> holds.</summary>
    private sealed record Content(
        TColumns Columns, int BatchSize, bool HasPolicy, string? OptionsSha256, string? PolicySha256, string Identity, string? ReferencePath,
        (string Name, long Length)[] Files);
}
