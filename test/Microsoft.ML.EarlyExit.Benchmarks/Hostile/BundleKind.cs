using Microsoft.ML.EarlyExit.Conversion;

namespace Microsoft.ML.EarlyExit.Benchmarks;

/// <summary>Bundles whose manifests have the right hashes: loaded, generated with and scored.</summary>
internal sealed class BundleKind(HostileSeeds seeds) : HostileKind("bundle", 25)
{
    public override string Write(HostileRandom random, string folder)
    {
        var files = new Dictionary<string, byte[]>(seeds.Bundle, StringComparer.Ordinal);
        string changes = BundleMutator.Mutate(files, random);
        string bundle = Directory.CreateDirectory(Path.Combine(folder, "bundle")).FullName;
        foreach ((string name, byte[] bytes) in files)
            File.WriteAllBytes(Path.Combine(bundle, name), bytes);
        return random.Chance(6) ? $"{changes}; {FolderMutator.Mutate(bundle, random)}" : changes;
    }

    public override string? Receive(HostileRandom random, string folder)
    {
        string path = Path.Combine(folder, "bundle");
        if (random.Chance(5))
        {
            Call(
                () =>
                {
                    T5Converter.ExportLayerScoring(path, Path.Combine(folder, "scoring.onnx"));
                    return true;
                },
                typeof(InvalidModelException));
        }

        using EarlyExitModel model = Call(() => EarlyExitModel.Load(path), typeof(InvalidModelException), typeof(IOException));
        return Call(() => ModelUse.Run(model, random), typeof(InvalidModelException));
    }
}
