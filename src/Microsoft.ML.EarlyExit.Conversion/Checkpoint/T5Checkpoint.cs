using System.Runtime.InteropServices;

namespace Microsoft.ML.EarlyExit.Conversion.Checkpoint;

/// <summary>
/// A Hugging Face T5 checkpoint folder, open for reading: its configuration, and its tensors in mapped files. What <see cref="Open"/> returns is complete:
/// every tensor of the model is there, of the shape the configuration gives it, and nothing else is.
/// </summary>
internal sealed class T5Checkpoint : IDisposable
{
    private const int MaxShards = 1024;

    private readonly List<SafetensorsFile> files = [];
    private readonly Dictionary<string, CheckpointTensor> tensors = [];
    private readonly bool tiesEmbeddings;

    private T5Checkpoint(string folder, CheckpointConfiguration configuration)
    {
        Folder = folder;
        Configuration = configuration.Model;
        Warnings = configuration.Warnings;
        tiesEmbeddings = configuration.TiesEmbeddings;
        string tokenizer = Path.Combine(folder, "spiece.model");
        TokenizerPath = Path.Exists(tokenizer) ? tokenizer : null;
        FilesRead.UnionWith(configuration.FilesRead);
    }

    public string Folder { get; }

    public T5Configuration Configuration { get; }

    /// <summary>What the configuration files ask for that a bundle does not keep.</summary>
    public IReadOnlyList<string> Warnings { get; }

    /// <summary>The names of the files that were read so far.</summary>
    public HashSet<string> FilesRead { get; } = [];

    /// <summary>The folder's <c>spiece.model</c>; null where there is none.</summary>
    public string? TokenizerPath { get; }

    /// <summary>The tensor that is the LM head: its own, else the embedding.</summary>
    public string HeadName => Contains(T5TensorShapes.Head) ? T5TensorShapes.Head : T5TensorShapes.Shared;

    /// <summary>The tensor of this name.</summary>
    /// <exception cref="InvalidModelException">There is none.</exception>
    public CheckpointTensor this[string name] =>
        tensors.TryGetValue(name, out CheckpointTensor? tensor)
            ? tensor
            : throw new InvalidModelException($"The checkpoint '{Folder}' has no tensor '{CheckpointText.Shown(name)}'.");

    /// <summary>Opens a folder and checks all of it but the values of the weights.</summary>
    /// <exception cref="DirectoryNotFoundException">There is no such folder.</exception>
    /// <exception cref="InvalidModelException">The folder is no T5 checkpoint, or a damaged, incomplete or unsupported one.</exception>
    public static T5Checkpoint Open(string folder)
    {
        ArgumentException.ThrowIfNullOrEmpty(folder);
        if (!Directory.Exists(folder))
        {
            throw new DirectoryNotFoundException($"There is no checkpoint folder '{folder}'.");
        }

        var checkpoint = new T5Checkpoint(folder, T5ConfigurationReader.Read(folder));
        try
        {
            checkpoint.OpenWeights();
            checkpoint.CheckTensors();
            return checkpoint;
        }
        catch
        {
            checkpoint.Dispose();
            throw;
        }
    }

    public bool Contains(string name) => tensors.ContainsKey(name);

    public void Dispose()
    {
        foreach (SafetensorsFile file in files)
        {
            file.Dispose();
        }
    }

    private void OpenWeights()
    {
        string single = Path.Combine(Folder, "model.safetensors");
        string index = Path.Combine(Folder, "model.safetensors.index.json");
        if (Path.Exists(single))
        {
            foreach (CheckpointTensor tensor in OpenFile(single))
            {
                tensors.Add(tensor.Name, tensor);
            }
        }
        else if (Path.Exists(index))
        {
            OpenShards(index);
        }
        else
        {
            bool pickled = Directory.EnumerateFiles(Folder, "pytorch_model*").Any();
            throw new InvalidModelException(
                $"'{Folder}' has neither model.safetensors nor model.safetensors.index.json."
                + (pickled
                    ? " Its pytorch_model.bin cannot be read: load it with transformers and save it again with "
                        + "save_pretrained(folder, safe_serialization=True)."
                    : " Fetch the checkpoint again, with its weights."));
        }
    }

    private void OpenShards(string index)
    {
        IReadOnlyDictionary<string, string> fileOf;
        using (CheckpointJson json = CheckpointJson.Open(index))
        {
            fileOf = json.RequiredStrings("weight_map");
            FilesRead.Add(Path.GetFileName(index));
        }

        List<string> names = [.. fileOf.Values.Distinct()];
        if (names.Count > MaxShards)
        {
            throw new InvalidModelException($"'{index}' names {names.Count} files; at most {MaxShards} are supported.");
        }

        foreach (string name in names)
        {
            string path = ShardPath(index, name);
            foreach (CheckpointTensor tensor in OpenFile(path))
            {
                // A copy of the embedding may lie elsewhere than the index says: its values are compared.
                if ((!fileOf.TryGetValue(tensor.Name, out string? mapped) || mapped != name) && !T5TensorShapes.SharedAliases.Contains(tensor.Name))
                {
                    throw new InvalidModelException(
                        $"'{path}' holds tensor '{CheckpointText.Shown(tensor.Name)}', which '{index}' "
                        + $"{(mapped is null ? "does not name" : $"places in '{CheckpointText.Shown(mapped)}'")}. The files are of different "
                        + "checkpoints; fetch them again.");
                }

                if (!tensors.TryAdd(tensor.Name, tensor))
                {
                    // Only such a copy can be there twice.
                    CheckSame(tensors[tensor.Name], tensor);
                }
            }
        }

        if (fileOf.FirstOrDefault(entry => !Contains(entry.Key) && !IsHeldByAnotherName(entry.Key)) is { Key: string absent, Value: string file })
        {
            throw new InvalidModelException(
                $"'{index}' places tensor '{CheckpointText.Shown(absent)}' in '{file}', which does not hold it. The files are of different "
                + "checkpoints; fetch them again.");
        }
    }

    /// <summary>Whether this is the embedding, which is there under another of its names: some indices name all of them, though one is written.</summary>
    private bool IsHeldByAnotherName(string name)
    {
        string[] names = [T5TensorShapes.Shared, .. T5TensorShapes.SharedAliases];
        return names.Any(Contains) && (names.Contains(name) || (tiesEmbeddings && name == T5TensorShapes.Head));
    }

    private string ShardPath(string index, string name)
    {
        // Only plain names: an index must not reach files outside of its folder.
        if (!name.EndsWith(".safetensors", StringComparison.Ordinal) || name.AsSpan().ContainsAny("/\\:\0"))
        {
            throw new InvalidModelException(
                $"'{index}' names the file '{CheckpointText.Shown(name)}'; the name of a .safetensors file in the same folder is expected.");
        }

        string path = Path.Combine(Folder, name);
        return Path.Exists(path) ? path : throw new InvalidModelException(
            $"'{index}' names '{CheckpointText.Shown(name)}', which is not in the folder. Fetch the checkpoint again, with all of its files.");
    }

    private IReadOnlyList<CheckpointTensor> OpenFile(string path)
    {
        SafetensorsFile file = SafetensorsFile.Open(path);
        files.Add(file);
        FilesRead.Add(Path.GetFileName(path));
        return file.Tensors;
    }

    private void CheckTensors()
    {
        var known = new HashSet<string> { T5TensorShapes.Shared, T5TensorShapes.Head, T5TensorShapes.UnusedBias };
        int[] embedding = T5TensorShapes.Embedding(Configuration);
        if (!Contains(T5TensorShapes.Shared) && T5TensorShapes.SharedAliases.FirstOrDefault(Contains) is string only)
        {
            tensors.Add(T5TensorShapes.Shared, tensors[only]);
        }

        Check(T5TensorShapes.Shared, embedding);
        if (Contains(T5TensorShapes.Head))
        {
            Check(T5TensorShapes.Head, embedding);
        }

        foreach (string alias in T5TensorShapes.SharedAliases.Where(Contains))
        {
            known.Add(alias);
            Check(alias, embedding);
            CheckSame(tensors[T5TensorShapes.Shared], tensors[alias]);
        }

        foreach ((string name, int[] shape) in T5TensorShapes.Required(Configuration))
        {
            known.Add(name);
            Check(name, shape);
        }

        if (tensors.Keys.Where(name => !known.Contains(name)).Min(StringComparer.Ordinal) is string unexpected)
        {
            throw new InvalidModelException(
                $"The checkpoint '{Folder}' has the tensor '{CheckpointText.Shown(unexpected)}', which a T5 of its config.json does not have; leaving "
                + "it out would change the results. Only plain T5ForConditionalGeneration checkpoints can be read.");
        }
    }

    private void Check(string name, int[] shape)
    {
        if (!tensors.TryGetValue(name, out CheckpointTensor? tensor))
        {
            throw new InvalidModelException(
                $"The checkpoint '{Folder}' lacks the tensor '{name}' of shape {CheckpointText.Shown(shape)}, which its config.json implies.");
        }

        if (!tensor.Shape.SequenceEqual(shape))
        {
            throw new InvalidModelException(
                $"The checkpoint '{Folder}': tensor '{name}' has the shape {CheckpointText.Shown(tensor.Shape)}; config.json implies "
                + $"{CheckpointText.Shown(shape)}.");
        }
    }

    /// <summary>A copy that differs is an embedding of its own, which this model does not have.</summary>
    private void CheckSame(CheckpointTensor shared, CheckpointTensor copy)
    {
        if (ReferenceEquals(shared, copy))
        {
            return;
        }

        if (!shared.Shape.SequenceEqual(copy.Shape))
        {
            throw Differs(shared, copy);
        }

        var ours = new float[Math.Min(1 << 18, shared.ElementCount)];
        var theirs = new float[ours.Length];
        for (long start = 0; start < shared.ElementCount; start += ours.Length)
        {
            int count = (int)Math.Min(ours.Length, shared.ElementCount - start);
            shared.Read(start, ours.AsSpan(0, count));
            copy.Read(start, theirs.AsSpan(0, count));

            // By bits: a NaN equals itself.
            if (!MemoryMarshal.AsBytes(ours.AsSpan(0, count)).SequenceEqual(MemoryMarshal.AsBytes(theirs.AsSpan(0, count))))
            {
                throw Differs(shared, copy);
            }
        }
    }

    private InvalidModelException Differs(CheckpointTensor shared, CheckpointTensor copy) => new(
        $"The checkpoint '{Folder}': tensor '{copy.Name}' differs from '{shared.Name}', whose copy it should be; encoder and decoder with "
        + "embeddings of their own are not supported.");
}
