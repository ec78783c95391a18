using System.Buffers.Binary;
using Microsoft.ML.EarlyExit.Conversion;

namespace Microsoft.ML.EarlyExit.Benchmarks;

/// <summary>Checkpoint folders: converted, and what comes of it loaded and generated with.</summary>
internal sealed class CheckpointKind(HostileSeeds seeds) : HostileKind("checkpoint", 20)
{
    private const int LengthBytes = 8;

    public override string Write(HostileRandom random, string folder)
    {
        var files = new Dictionary<string, byte[]>(random.Chance(50) ? seeds.Checkpoints[0] : random.Pick(seeds.Checkpoints), StringComparer.Ordinal);
        var changes = new List<string>();
        for (int count = 1 + random.Next(random.Chance(50) ? 1 : 4); count > 0; count--)
        {
            string[] names = [.. files.Keys.Where(name => !name.EndsWith(".md", StringComparison.Ordinal)).Order(StringComparer.Ordinal)];
            string name = random.Chance(35) ? "config.json" : random.Pick(names);
            files[name] = Path.GetExtension(name) switch
            {
                ".json" => JsonMutator.Mutate(files[name], random),
                ".safetensors" => ChangeTensors(files[name], random),
                _ => VocabularyMutator.Mutate(files[name], random),
            };
            changes.Add(name);
        }

        string checkpoint = Directory.CreateDirectory(Path.Combine(folder, "checkpoint")).FullName;
        foreach ((string name, byte[] bytes) in files)
            File.WriteAllBytes(Path.Combine(checkpoint, name), bytes);
        if (random.Chance(10))
            changes.Add(FolderMutator.Mutate(checkpoint, random));
        return string.Join(", ", changes);
    }

    public override string? Receive(HostileRandom random, string folder)
    {
        string bundle = Path.Combine(folder, "bundle");
        Call(
            () =>
            {
                T5Converter.Convert(Path.Combine(folder, "checkpoint"), bundle);
                return true;
            },
            typeof(InvalidModelException), typeof(IOException));
        // What was converted loads: nothing that keeps it from that may be found only here.
        using EarlyExitModel model = EarlyExitModel.Load(bundle);
        return ModelUse.Run(model, random);
    }

    private static byte[] ChangeTensors(byte[] file, HostileRandom random)
    {
        long length = BinaryPrimitives.ReadInt64LittleEndian(file);
        if (file.Length < LengthBytes || length < 1 || length > file.Length - LengthBytes)
            return ByteMutator.Mutate(file, random);
        byte[] header = file[LengthBytes..(int)(LengthBytes + length)];
        byte[] data = file[(int)(LengthBytes + length)..];
        switch (random.Next(10))
        {
            case < 6:
                header = JsonMutator.Mutate(header, random);
                break;
            case < 8:
                float value = random.Pick([float.NaN, float.PositiveInfinity, float.MaxValue, 1e20f]);
                for (int count = random.Pick([1, 10, 1000]); count > 0 && data.Length >= sizeof(float); count--)
                    BitConverter.TryWriteBytes(data.AsSpan(sizeof(float) * random.Next(data.Length / sizeof(float))), value);
                break;
            case 8:
                data = ByteMutator.Mutate(data, random);
                break;
            default:
                return ByteMutator.Mutate(file, random);
        }

        byte[] written = new byte[LengthBytes];
        BinaryPrimitives.WriteInt64LittleEndian(written, random.Chance(95) ? header.Length : random.Number());
        return [.. written, .. header, .. data];
    }
}
