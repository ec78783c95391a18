using System.Globalization;
using System.Security.Cryptography;
using System.Text.Json;
using Microsoft.ML.EarlyExit.Evaluation.Json;
using Microsoft.ML.EarlyExit.Files;
using Microsoft.ML.EarlyExit.Model.Graphs;
using Microsoft.ML.EarlyExit.Model.Tokenization;
using Microsoft.ML.EarlyExit.Model.Weights;
using Microsoft.ML.EarlyExit.Numerics;
using Microsoft.Win32.SafeHandles;

namespace Microsoft.ML.EarlyExit.Model.Bundle;

/// <summary>
/// A bundle folder, opened: its manifest, its files checked by name, size and SHA-256, and its weights in memory. Immutable and thread-safe.
/// </summary>
internal sealed unsafe class ModelBundle : IDisposable
{
    private readonly Dictionary<string, BundleTensor> _tensors;
    private readonly BundleWeights _weights;
    private readonly string? _source;

    private ModelBundle(
        string folder, string? source, string identity, BundleManifest manifest, Dictionary<string, BundleTensor> tensors, BundleWeights weights)
    {
        Folder = folder;
        _source = source;
        Identity = identity;
        Manifest = manifest;
        _tensors = tensors;
        _weights = weights;
        string path = Path.Combine(folder, manifest.WeightsFile);
        WeightsPath = new FileInfo(path).ResolveLinkTarget(returnFinalTarget: true)?.FullName ?? path;
    }

    /// <summary>The folder as an absolute path.</summary>
    public string Folder { get; }

    /// <summary>What messages call the bundle.</summary>
    public string Name => _source ?? Folder;

    /// <summary>SHA-256 of the manifest, which itself has those of all other files: two bundles with one identity are the same.</summary>
    public string Identity { get; }

    public BundleManifest Manifest { get; }

    public T5Configuration Configuration => Manifest.Configuration;

    /// <summary>Every file of the bundle, the manifest first.</summary>
    public IReadOnlyList<string> FileNames => [BundleManifest.FileName, .. Manifest.Files.Select(file => file.Name)];

    /// <summary>The weights file itself, whatever links lead to it: ONNX Runtime takes no file that lies outside of the folder it is told.</summary>
    public string WeightsPath { get; }

    /// <summary>Whether the weights are in memory of their own, and not the file's.</summary>
    public bool HasOwnWeights => _weights.IsCopy;

    /// <summary>Opens and checks a bundle.</summary>
    /// <param name="folder">The folder.</param>
    /// <param name="copyWeights">Whether the weights are copied into memory rather than mapped.</param>
    /// <param name="source">What its user knows it by, where that is not the folder.</param>
    /// <exception cref="DirectoryNotFoundException">The folder does not exist.</exception>
    /// <exception cref="InvalidModelException">The folder is no bundle, of another version, or not as its manifest says.</exception>
    /// <exception cref="IOException">A file cannot be read.</exception>
    /// <exception cref="UnauthorizedAccessException">A file may not be read.</exception>
    public static ModelBundle Open(string folder, bool copyWeights = false, string? source = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(folder);
        folder = Path.GetFullPath(folder);
        if (!Directory.Exists(folder))
            throw new DirectoryNotFoundException($"There is no model bundle folder at '{folder}'. Convert a checkpoint to a bundle first.");
        string path = Path.Combine(folder, BundleManifest.FileName);
        if (!Path.Exists(path))
            throw new InvalidModelException($"'{folder}' is not a model bundle: it has no {BundleManifest.FileName}. Convert a checkpoint to a bundle first.");
        byte[] json = Present(folder, BundleManifest.FileName, file => RegularFile.Read(file, BundleManifest.LargestBytes));
        BundleManifest manifest = ReadManifest(folder, $"'{path}'", json, out Dictionary<string, BundleTensor> tensors);
        CheckFolder(folder, manifest);
        foreach (BundleFile file in manifest.Files)
        {
            if (file.Name != manifest.WeightsFile)
                CheckFile(folder, file);
        }

        BundleWeights weights = OpenWeights(folder, manifest, copyWeights);
        try
        {
            CheckScales(folder, manifest, weights);
            return new ModelBundle(folder, source, Convert.ToHexStringLower(SHA256.HashData(json)), manifest, tensors, weights);
        }
        catch
        {
            weights.Dispose();
            throw;
        }
    }

    /// <summary>Reads a manifest that is not in a folder, and checks all that can be without the other files.</summary>
    /// <param name="name">What messages call it.</param>
    /// <param name="json">Its text.</param>
    /// <exception cref="InvalidModelException">It is none, of another version, or impossible.</exception>
    public static BundleManifest ReadManifest(string name, byte[] json) => ReadManifest(name, name, json, out _);

    /// <summary>What messages call a file of the bundle.</summary>
    public string NameOf(string file) => _source is null ? Path.Combine(Folder, file) : $"{file} of {_source}";

    /// <summary>Whether the weights file has a tensor of that name.</summary>
    public bool TryGetTensor(string name, out BundleTensor tensor) => _tensors.TryGetValue(name, out tensor!);

    /// <summary>A tensor of the weights file.</summary>
    public WeightTensor Tensor(BundleTensor tensor) => new(tensor, _weights.Start + tensor.Offset);

    /// <summary>A tensor that opening has checked to exist.</summary>
    public WeightTensor Tensor(string name) => Tensor(_tensors[name]);

    /// <summary>Says that a tensor will hardly be read again: its pages leave memory, and come back from the file if it is.</summary>
    public void ReleasePages(BundleTensor tensor) => _weights.ReleasePages(tensor.Offset, tensor.ByteCount);

    /// <summary>Whether the weights file is as it was when it was opened.</summary>
    public bool IsUnchanged => _weights.IsUnchanged;

    /// <summary>Throws where the weights file was changed since it was opened; takes microseconds.</summary>
    /// <exception cref="InvalidModelException">It was.</exception>
    public void CheckUnchanged() => _weights.CheckUnchanged();

    /// <summary>The content of a small file of the bundle, as it was when the bundle was opened.</summary>
    /// <exception cref="InvalidModelException">It has more bytes, or was changed since.</exception>
    public byte[] ReadFile(string name, int mostBytes)
    {
        byte[] content = RegularFile.Read(Path.Combine(Folder, name), mostBytes);
        return Convert.ToHexStringLower(SHA256.HashData(content)) == Manifest.Files.First(file => file.Name == name).Sha256
            ? content
            : throw Changed(name);
    }

    /// <summary>The bytes of a file, the manifest among them.</summary>
    public long LengthOf(string name)
    {
        if (name != BundleManifest.FileName)
            return Manifest.Files.First(file => file.Name == name).Bytes;
        using FileStream stream = RegularFile.Open(Path.Combine(Folder, name));
        return stream.Length;
    }

    /// <summary>Writes a file, the manifest among them, as it was when the bundle was opened.</summary>
    /// <exception cref="InvalidModelException">It was changed since.</exception>
    public void CopyFile(string name, Stream target)
    {
        if (name == Manifest.WeightsFile && HasOwnWeights)
        {
            _weights.CopyTo(target);
            return;
        }

        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        using FileStream source = RegularFile.Open(Path.Combine(Folder, name));
        byte[] buffer = new byte[1 << 16];
        for (int count; (count = source.Read(buffer)) > 0;)
        {
            hash.AppendData(buffer, 0, count);
            target.Write(buffer, 0, count);
        }

        string expected = name == BundleManifest.FileName ? Identity : Manifest.Files.First(file => file.Name == name).Sha256;
        if (Convert.ToHexStringLower(hash.GetHashAndReset()) != expected)
            throw Changed(name);
    }

    public void Dispose() => _weights.Dispose();

    private InvalidModelException Changed(string name) => new($"'{Path.Combine(Folder, name)}' was changed since the model was loaded. Load the model again.");

    private static BundleManifest ReadManifest(string folder, string path, byte[] json, out Dictionary<string, BundleTensor> tensors)
    {
        if (JsonProblem.FindLineOfInvalidUtf8(json) is { } line)
            throw new InvalidModelException($"{path}, line {line}: it is not valid UTF-8. Convert the checkpoint again.");
        CheckVersion(path, json);
        BundleManifest manifest;
        try
        {
            manifest = BundleManifest.FromJson(json) ?? throw new InvalidModelException($"{path} holds no manifest but null. Convert the checkpoint again.");
        }
        catch (Exception exception) when (exception is JsonException or InvalidOperationException)
        {
            throw new InvalidModelException(
                $"{path} is not a valid manifest: {JsonProblem.DescribeWithPlace(exception)}. Convert the checkpoint again.", exception);
        }

        CheckLists(folder, manifest);
        CheckConfiguration(folder, manifest);
        CheckTokenizer(folder, manifest);
        CheckNames(folder, manifest);
        tensors = CheckTensors(folder, manifest);
        return manifest;
    }

    /// <summary>The version is looked at first: a newer manifest may differ in everything else.</summary>
    private static void CheckVersion(string path, byte[] json)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(json);
            JsonElement root = document.RootElement;
            if (!BundleManifest.IsBundle(root))
                throw new InvalidModelException($"{path} is not the manifest of a model bundle: its format is not '{BundleManifest.FormatName}'.");
            if (!root.TryGetProperty("formatVersion", out JsonElement version))
                throw new InvalidModelException($"{path} is not a valid manifest: formatVersion is missing. Convert the checkpoint again.");
            if (version.ValueKind != JsonValueKind.Number || !version.TryGetInt32(out int number))
            {
                throw new InvalidModelException(
                    $"{path} is not a valid manifest: formatVersion is {JsonTokenReader.Shorten(version.GetRawText())}; it must be a whole number from "
                    + $"{BundleManifest.FirstVersion} to {BundleManifest.CurrentVersion}. Convert the checkpoint again.");
            }

            if (number is < BundleManifest.FirstVersion or > BundleManifest.CurrentVersion)
            {
                throw new InvalidModelException(
                    $"{path} is of bundle version {number}; this version of the library reads "
                    + $"versions {BundleManifest.FirstVersion} to {BundleManifest.CurrentVersion}. "
                    + (number > BundleManifest.CurrentVersion ? "Update the Microsoft.ML.EarlyExit package." : "Convert the checkpoint again."));
            }
        }
        catch (Exception exception) when (exception is JsonException or InvalidOperationException)
        {
            throw new InvalidModelException($"{path} is not valid JSON: {JsonProblem.DescribeWithPlace(exception)}. Convert the checkpoint again.", exception);
        }
    }

    /// <summary>The serializer refuses nulls in fields, but not in lists.</summary>
    private static void CheckLists(string folder, BundleManifest manifest)
    {
        ReadOnlySpan<(string Name, IEnumerable<object?> Entries)> lists =
        [
            ("files", manifest.Files), ("tensors", manifest.Tensors), ("graphs.decoderBlocks", manifest.Graphs.DecoderBlocks),
            ("graphs.stateKeysValues", manifest.Graphs.StateKeysValues), ("graphs.crossKeysValues", manifest.Graphs.CrossKeysValues),
            ("tokenizer.addedTokens", manifest.Tokenizer?.AddedTokens ?? []),
        ];
        foreach ((string name, IEnumerable<object?> entries) in lists)
        {
            if (entries.Contains(null))
                throw Invalid(folder, $"{name} of {BundleManifest.FileName} holds a null");
        }
    }

    private static void CheckConfiguration(string folder, BundleManifest manifest)
    {
        T5Configuration configuration = manifest.Configuration;
        ReadOnlySpan<(string Name, int Value, int Most)> sizes =
        [
            ("vocabularySize", configuration.VocabularySize, T5ConfigurationLimits.VocabularySize),
            ("modelDimension", configuration.ModelDimension, T5ConfigurationLimits.ModelDimension),
            ("keyValueDimension", configuration.KeyValueDimension, T5ConfigurationLimits.KeyValueDimension),
            ("headCount", configuration.HeadCount, T5ConfigurationLimits.HeadCount),
            ("feedForwardDimension", configuration.FeedForwardDimension, T5ConfigurationLimits.FeedForwardDimension),
            ("encoderLayerCount", configuration.EncoderLayerCount, T5ConfigurationLimits.LayerCount),
            ("decoderLayerCount", configuration.DecoderLayerCount, T5ConfigurationLimits.LayerCount),
            ("relativeAttentionBucketCount", configuration.RelativeAttentionBucketCount, T5ConfigurationLimits.BucketCount),
            ("relativeAttentionMaxDistance", configuration.RelativeAttentionMaxDistance, T5ConfigurationLimits.MaxDistance),
            ("maxNewTokens", configuration.MaxNewTokens ?? 1, T5ConfigurationLimits.TokenCount),
        ];
        foreach ((string name, int value, int most) in sizes)
        {
            if (value < 1 || value > most)
                throw Invalid(folder, $"configuration.{name} is {value}; it must be from 1 to {most}");
        }

        ReadOnlySpan<(string Name, int? Value)> defaults =
            [("minNewTokens", configuration.MinNewTokens), ("noRepeatNgramSize", configuration.NoRepeatNgramSize)];
        foreach ((string name, int? value) in defaults)
        {
            if (value is < 0 or > T5ConfigurationLimits.TokenCount)
                throw Invalid(folder, $"configuration.{name} is {value}; it must be from 0 to {T5ConfigurationLimits.TokenCount}");
        }

        if (configuration.RepetitionPenalty is { } penalty && !(float.IsFinite(penalty) && penalty > 0))
            throw Invalid(folder, $"configuration.repetitionPenalty is {penalty}; it must be a finite number above 0");
        ReadOnlySpan<(string Name, int Value)> ids =
        [
            ("padTokenId", configuration.PadTokenId), ("endOfSequenceTokenId", configuration.EndOfSequenceTokenId),
            ("decoderStartTokenId", configuration.DecoderStartTokenId),
        ];
        foreach ((string name, int value) in ids)
        {
            if (value < 0 || value >= configuration.VocabularySize)
                throw Invalid(folder, $"configuration.{name} is {value}; it must be from 0 to {configuration.VocabularySize - 1}");
        }

        if (!float.IsFinite(configuration.LayerNormEpsilon) || configuration.LayerNormEpsilon <= 0)
            throw Invalid(folder, $"configuration.layerNormEpsilon is {configuration.LayerNormEpsilon}; it must be a finite number above 0");
        if (!Enum.IsDefined(configuration.Activation))
            throw Invalid(folder, $"configuration.activation is {configuration.Activation}, which is unknown");
        if (manifest.FormatVersion == BundleManifest.FirstVersion && manifest.Precision != WeightPrecision.Float32)
            throw Invalid(folder, $"the precision is {WeightFormat.Of(manifest.Precision).Name}, which version {BundleManifest.FirstVersion} does not have");
        if (manifest.GraphHeadDimension != GraphContract.GraphHeadDimension(configuration.KeyValueDimension))
        {
            throw Invalid(
                folder,
                $"graphHeadDimension is {manifest.GraphHeadDimension}, which does not belong to a keyValueDimension of {configuration.KeyValueDimension}");
        }

        ReadOnlySpan<(string Name, int Count)> graphs =
        [
            ("decoderBlocks", manifest.Graphs.DecoderBlocks.Count), ("stateKeysValues", manifest.Graphs.StateKeysValues.Count),
            ("crossKeysValues", manifest.Graphs.CrossKeysValues.Count),
        ];
        foreach ((string name, int count) in graphs)
        {
            if (count != configuration.DecoderLayerCount)
                throw Invalid(folder, $"graphs.{name} names {count} files; the decoder has {configuration.DecoderLayerCount} layers");
        }
    }

    private static void CheckTokenizer(string folder, BundleManifest manifest)
    {
        if (manifest.Tokenizer is not { } tokenizer)
            return;
        int most = manifest.Configuration.VocabularySize;
        if (tokenizer.SentinelCount < 0 || tokenizer.SentinelCount > most)
            throw Invalid(folder, $"tokenizer.sentinelCount is {tokenizer.SentinelCount}; it must be from 0 to {most}");
        var ids = new HashSet<int>();
        var contents = new HashSet<string>(StringComparer.Ordinal);
        foreach (AddedToken token in tokenizer.AddedTokens)
        {
            if (token.Id < 0 || token.Id >= most || !ids.Add(token.Id))
                throw Invalid(folder, $"tokenizer.addedTokens has the id {token.Id}; each must be from 0 to {most - 1}, and occur once");
            if (token.Content.Length is 0 or > AddedToken.LongestContent || !contents.Add(token.Content))
                throw Invalid(folder, $"tokenizer.addedTokens says of id {token.Id} what is empty, too long, or said of another id too");
        }
    }

    private static void CheckNames(string folder, BundleManifest manifest)
    {
        var listed = new HashSet<string>(StringComparer.Ordinal) { BundleManifest.FileName };
        foreach (BundleFile file in manifest.Files)
        {
            if (file.Name.Length == 0 || Path.GetFileName(file.Name) != file.Name || file.Name is "." or ".."
                || file.Name.AsSpan().IndexOfAny('/', '\\', ':') >= 0)
                throw Invalid(folder, $"'{file.Name}' is not a plain file name");
            if (!listed.Add(file.Name))
                throw Invalid(folder, $"'{file.Name}' is listed twice");
            if (file.Bytes < 1)
                throw Invalid(folder, $"'{file.Name}' is listed with {file.Bytes} bytes, but no file of a bundle is empty");
            if (file.Bytes > BundleFile.MostBytes)
                throw Invalid(folder, $"'{file.Name}' is listed with {file.Bytes} bytes, more than the {BundleFile.MostBytes} that a file can have");
        }

        BundleGraphs graphs = manifest.Graphs;
        IEnumerable<string?> used =
        [
            manifest.WeightsFile, manifest.TokenizerFile, graphs.Encoder, graphs.TeacherForcedDecoder,
            .. graphs.DecoderBlocks, .. graphs.StateKeysValues, .. graphs.CrossKeysValues,
        ];
        foreach (string? name in used)
        {
            if (name is not null && (name == BundleManifest.FileName || !listed.Contains(name)))
                throw Invalid(folder, $"'{name}' is used but not in the list of files");
        }
    }

    /// <summary>Compares the names in the folder with the manifest's.</summary>
    private static void CheckFolder(string folder, BundleManifest manifest)
    {
        var listed = manifest.Files.Select(file => file.Name).Append(BundleManifest.FileName).ToHashSet(StringComparer.Ordinal);
        foreach (string path in Directory.EnumerateFileSystemEntries(folder))
        {
            // What begins with a dot a desktop or a file system leaves everywhere.
            if (Path.GetFileName(path) is var name && name[0] != '.' && !listed.Contains(name))
                throw Invalid(folder, $"'{name}' is in the folder but not in the manifest; remove it");
        }

        foreach (BundleFile file in manifest.Files)
        {
            if (!Path.Exists(Path.Combine(folder, file.Name)))
                throw Invalid(folder, $"'{file.Name}' is missing");
        }
    }

    private static void CheckFile(string folder, BundleFile file)
    {
        using FileStream stream = Present(folder, file.Name, RegularFile.Open);
        CheckLength(folder, file, stream.Length);
        CheckHash(folder, file, Convert.ToHexStringLower(SHA256.HashData(stream)));
    }

    /// <summary>Opens a file whose name is in the folder: a link to nowhere is a missing file too.</summary>
    private static T Present<T>(string folder, string name, Func<string, T> open)
    {
        try
        {
            return open(Path.Combine(folder, name));
        }
        catch (FileNotFoundException)
        {
            throw Invalid(folder, $"'{name}' is missing");
        }
    }

    private static void CheckLength(string folder, BundleFile file, long length)
    {
        if (length != file.Bytes)
            throw Invalid(folder, $"'{file.Name}' has {length} bytes, not the {file.Bytes} the manifest says");
    }

    private static void CheckHash(string folder, BundleFile file, string sha256)
    {
        if (sha256 != file.Sha256)
            throw Invalid(folder, $"'{file.Name}' was changed: its SHA-256 is not the manifest's");
    }

    private static BundleWeights OpenWeights(string folder, BundleManifest manifest, bool copy)
    {
        BundleFile file = manifest.Files.First(file => file.Name == manifest.WeightsFile);
        string path = Path.Combine(folder, file.Name);
        SafeFileHandle handle = Present(folder, file.Name, RegularFile.OpenHandle);
        BundleWeights? weights = null;
        try
        {
            CheckLength(folder, file, RandomAccess.GetLength(handle));
            weights = new BundleWeights(path, handle, copy, out string sha256);
            CheckHash(folder, file, sha256);
            return weights;
        }
        catch
        {
            weights?.Dispose();
            handle.Dispose();
            throw;
        }
    }

    private static Dictionary<string, BundleTensor> CheckTensors(string folder, BundleManifest manifest)
    {
        long weightsBytes = manifest.Files.First(file => file.Name == manifest.WeightsFile).Bytes;
        var tensors = new Dictionary<string, BundleTensor>(StringComparer.Ordinal);
        foreach (BundleTensor tensor in manifest.Tensors)
        {
            if (tensor.Shape.Count is 0 or > 2 || tensor.Shape.Any(dimension => dimension < 1))
                throw Invalid(folder, $"tensor '{tensor.Name}' has the impossible shape [{string.Join(", ", tensor.Shape)}]");
            CheckType(folder, manifest, tensor);
            // Counted in elements first: two dimensions of 31 bits fit 63, but not times their size.
            WeightFormat format = WeightFormat.Of(tensor.Type);
            if (tensor.ElementCount > 8 * weightsBytes / format.ElementBits
                || tensor.Offset < 0 || tensor.Offset % format.Alignment != 0 || tensor.Offset > weightsBytes - tensor.ByteCount)
                throw Invalid(folder, $"tensor '{tensor.Name}' at offset {tensor.Offset} does not lie inside '{manifest.WeightsFile}'");
            if (!tensors.TryAdd(tensor.Name, tensor))
                throw Invalid(folder, $"tensor '{tensor.Name}' is listed twice");
        }

        CheckScaleShapes(folder, tensors);
        T5Configuration configuration = manifest.Configuration;
        BundleTensorNames names = manifest.TensorNames;
        Require(names.Embedding, StoredTypes.OfEmbedding(manifest.Precision), configuration.VocabularySize, configuration.ModelDimension);
        Require(names.Head, StoredTypes.OfEmbedding(manifest.Precision), configuration.VocabularySize, configuration.ModelDimension);
        Require(names.DecoderFinalNorm, WeightPrecision.Float32, configuration.ModelDimension);
        Require(names.DecoderRelativeBias, WeightPrecision.Float32, null, configuration.HeadCount);
        BundleTensor bias = tensors[names.DecoderRelativeBias];
        if (bias.ByteCount > T5ConfigurationLimits.RelativeBiasBytes)
        {
            throw Invalid(
                folder,
                $"tensor '{bias.Name}' has shape [{string.Join(", ", bias.Shape)}], "
                + $"and takes more than the {T5ConfigurationLimits.RelativeBiasBytes} bytes that a table of biases can have");
        }

        return tensors;

        void Require(string name, WeightPrecision type, params int?[] shape)
        {
            if (!tensors.TryGetValue(name, out BundleTensor? tensor))
                throw Invalid(folder, $"tensor '{name}' is missing");
            if (tensor.Shape.Count != shape.Length || shape.Where((size, index) => size is not null && size != tensor.Shape[index]).Any())
            {
                throw Invalid(
                    folder,
                    $"tensor '{name}' has shape [{string.Join(", ", tensor.Shape)}], "
                    + $"not [{string.Join(", ", shape.Select(size => size?.ToString() ?? "any"))}]");
            }

            if (tensor.Type != type)
                throw Invalid(folder, $"tensor '{name}' is of type {WeightFormat.Of(tensor.Type).Name}, not {WeightFormat.Of(type).Name}");
        }
    }

    /// <summary>Refuses a tensor in another type than its bundle's precision gives it: what reads it counts on that.</summary>
    private static void CheckType(string folder, BundleManifest manifest, BundleTensor tensor)
    {
        if (StoredTypes.Allows(manifest.Precision, tensor.Name, tensor.Type))
            return;
        IEnumerable<string> allowed =
            WeightFormat.All.Where(format => StoredTypes.Allows(manifest.Precision, tensor.Name, format.Precision)).Select(format => format.Name);
        throw Invalid(
            folder,
            $"tensor '{tensor.Name}' is of type {WeightFormat.Of(tensor.Type).Name}; "
            + $"with precision {WeightFormat.Of(manifest.Precision).Name} it must be {string.Join(" or ", allowed)}");
    }

    /// <summary>Refuses whole numbers without scales that fit them, and scales without numbers.</summary>
    private static void CheckScaleShapes(string folder, Dictionary<string, BundleTensor> tensors)
    {
        foreach (BundleTensor tensor in tensors.Values)
        {
            if (tensor.Name.EndsWith(T5TensorNames.ScalesSuffix, StringComparison.Ordinal))
            {
                string numbers = tensor.Name[..^T5TensorNames.ScalesSuffix.Length];
                if (!tensors.TryGetValue(numbers, out BundleTensor? scaled) || !WeightFormat.Of(scaled.Type).HasScales)
                    throw Invalid(folder, $"tensor '{tensor.Name}' has the scales of '{numbers}', which is not stored as whole numbers");
            }

            if (!WeightFormat.Of(tensor.Type).HasScales)
                continue;
            if (tensor.Shape.Count != 2)
                throw Invalid(folder, $"tensor '{tensor.Name}' is of type {WeightFormat.Of(tensor.Type).Name} and not a matrix");
            if (!tensors.TryGetValue(T5TensorNames.Scales(tensor.Name), out BundleTensor? scales))
                throw Invalid(folder, $"tensor '{T5TensorNames.Scales(tensor.Name)}', the scales of '{tensor.Name}', is missing");
            int width = tensor.Shape[1];
            if (scales.Shape.Count != 2 || scales.Shape[0] != tensor.Shape[0] || width % scales.Shape[1] != 0)
            {
                throw Invalid(
                    folder,
                    $"tensor '{scales.Name}' has shape [{string.Join(", ", scales.Shape)}]; "
                    + $"for numbers of [{string.Join(", ", tensor.Shape)}] it must have {tensor.Shape[0]} rows and a number of columns that divides {width}");
            }

            // Of eight bits a block may also be a whole row.
            int block = width / scales.Shape[1];
            if (block % IntegerKernel.BlockMultiple != 0 && (tensor.Type == WeightPrecision.Int4 || block != width))
                throw Invalid(folder, $"{Blocks()}, which must be a multiple of {IntegerKernel.BlockMultiple}");
            if (tensor.Type == WeightPrecision.Int4 && block > NibbleKernel.LargestBlock)
                throw Invalid(folder, $"{Blocks()}, which must be at most {NibbleKernel.LargestBlock}");

            string Blocks() => $"tensor '{tensor.Name}' is of type {WeightFormat.Of(tensor.Type).Name} in blocks of {block}";
        }
    }

    /// <summary>Refuses scales that are no positive finite numbers; a few hundredths of what the hash was made of just before.</summary>
    private static void CheckScales(string folder, BundleManifest manifest, BundleWeights weights)
    {
        foreach (BundleTensor tensor in manifest.Tensors.Where(tensor => tensor.Name.EndsWith(T5TensorNames.ScalesSuffix, StringComparison.Ordinal)))
        {
            int columns = tensor.Shape[1];
            float* scales = (float*)(weights.Start + tensor.Offset);
            for (int row = 0; row < tensor.Shape[0]; row++)
            {
                var line = new ReadOnlySpan<float>(scales + ((long)row * columns), columns);
                for (int column = 0; column < columns; column++)
                {
                    if (!(line[column] > 0 && float.IsFinite(line[column])))
                    {
                        throw Invalid(
                            folder,
                            string.Create(
                                CultureInfo.InvariantCulture,
                                $"tensor '{tensor.Name}' has at [{row}, {column}] the scale {line[column]}, which is not a positive finite number"));
                    }
                }
            }
        }
    }

    private static InvalidModelException Invalid(string folder, string what) =>
        new($"The model bundle '{folder}' is damaged: {what}. Convert the checkpoint again.");
}
