using System.Security.Cryptography;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Microsoft.ML.EarlyExit.Benchmarks;

/// <summary>Changes a bundle's files, and makes the sizes and hashes in its manifest right again, so that what is behind that check is reached.</summary>
internal static class BundleMutator
{
    private const string Manifest = "model.json";
    private const string Weights = "weights.bin";
    private const string Vocabulary = "spiece.model";

    /// <summary>Makes one to four changes.</summary>
    /// <returns>What was changed.</returns>
    public static string Mutate(IDictionary<string, byte[]> files, HostileRandom random)
    {
        var changes = new List<string>();
        bool changesManifest = false;
        for (int count = 1 + random.Next(random.Chance(50) ? 1 : 4); count > 0; count--)
        {
            switch (random.Next(100))
            {
                case < 55:
                    string graph = random.Pick([.. files.Keys.Where(name => name.EndsWith(".onnx", StringComparison.Ordinal)).Order(StringComparer.Ordinal)]);
                    files[graph] = GraphMutator.Mutate(files[graph], random);
                    changes.Add(graph);
                    break;
                case < 68:
                    ChangeWeights(files, random);
                    changes.Add(Weights);
                    break;
                case < 78:
                    files[Vocabulary] = VocabularyMutator.Mutate(files[Vocabulary], random);
                    changes.Add(Vocabulary);
                    break;
                case < 86:
                    ChangeTensors(files, random);
                    changes.Add("tensors");
                    break;
                default:
                    changesManifest = true;
                    break;
            }
        }

        Fix(files);
        if (changesManifest)
        {
            files[Manifest] = JsonMutator.Mutate(files[Manifest], random);
            changes.Add(Manifest);
        }

        return string.Join(", ", changes);
    }

    private static void ChangeWeights(IDictionary<string, byte[]> files, HostileRandom random)
    {
        byte[] bytes = [.. files[Weights]];
        if (random.Chance(10))
        {
            files[Weights] = ByteMutator.Mutate(bytes, random);
            return;
        }

        float value = random.Pick([float.NaN, float.PositiveInfinity, float.NegativeInfinity, float.MaxValue, float.MinValue, 1e-45f, 1e20f, 0]);
        int first = random.Next(bytes.Length / sizeof(float));
        int last = Math.Min(bytes.Length / sizeof(float), first + random.Pick([1, 1, 8, 1000, 1 << 20]));
        for (int index = first; index < last; index++)
            BitConverter.TryWriteBytes(bytes.AsSpan(index * sizeof(float)), value);
        files[Weights] = bytes;
    }

    /// <summary>Changes where tensors lie, or which is which.</summary>
    private static void ChangeTensors(IDictionary<string, byte[]> files, HostileRandom random)
    {
        JsonNode manifest = JsonNode.Parse(files[Manifest])!;
        JsonArray tensors = manifest["tensors"]!.AsArray();
        JsonObject tensor = tensors[random.Next(tensors.Count)]!.AsObject();
        JsonObject other = tensors[random.Next(tensors.Count)]!.AsObject();
        string field = random.Pick(["name", "shape", "offset"]);
        switch (random.Next(4))
        {
            case 0:
                (JsonNode one, JsonNode two) = (tensor[field]!.DeepClone(), other[field]!.DeepClone());
                tensor[field] = two;
                other[field] = one;
                break;
            case 1:
                tensor["offset"] = random.Chance(50) ? random.Number() : tensor["offset"]!.GetValue<long>() + random.Pick([-4, 1, 4, 64]);
                break;
            case 2:
                JsonObject names = manifest["tensorNames"]!.AsObject();
                names[random.Pick([.. names.Select(name => name.Key)])] = tensor["name"]!.DeepClone();
                break;
            default:
                JsonArray shape = tensor["shape"]!.AsArray();
                shape[random.Next(shape.Count)] = (int)random.Number();
                break;
        }

        files[Manifest] = JsonSerializer.SerializeToUtf8Bytes(manifest);
    }

    /// <summary>Writes the files' sizes and hashes into the manifest.</summary>
    private static void Fix(IDictionary<string, byte[]> files)
    {
        JsonNode manifest = JsonNode.Parse(files[Manifest])!;
        foreach (JsonNode? file in manifest["files"]!.AsArray())
        {
            byte[] bytes = files[file!["name"]!.GetValue<string>()];
            file["bytes"] = bytes.Length;
            file["sha256"] = Convert.ToHexStringLower(SHA256.HashData(bytes));
        }

        files[Manifest] = JsonSerializer.SerializeToUtf8Bytes(manifest);
    }
}
