using Google.Protobuf;
using Microsoft.ML.EarlyExit.Onnx;

namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>Random damage, the same in every run: a bundle is refused as such or works.</summary>
public sealed class BundleFuzzTests
{
    private const int Rounds = 60;

    public static TheoryData<string, int> Graphs =>
    [
        .. from file in (string[])["decoder-block-02.onnx", "encoder.onnx", "decoder-cross-keys-values-01.onnx"]
           from seed in (int[])[1, 2]
           select new TheoryDataRow<string, int>(file, seed),
    ];

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void A_manifest_with_changed_bytes_is_refused_or_works(int seed)
    {
        using var tampered = new TamperedBundle();
        byte[] sound = File.ReadAllBytes(tampered.ManifestPath);
        var random = new Random(seed);
        int refused = 0;
        for (int round = 0; round < Rounds; round++)
        {
            byte[] bytes = [.. sound];
            for (int change = random.Next(1, 4); change > 0; change--)
            {
                // Half of the time one digit for another: what still is JSON gets further.
                int at = random.Next(bytes.Length);
                if (random.Next(2) == 0)
                    bytes[at] ^= (byte)(1 << random.Next(8));
                else if ((at = Array.FindIndex(bytes, at, value => char.IsAsciiDigit((char)value))) >= 0)
                    bytes[at] = (byte)('0' + random.Next(10));
            }

            File.WriteAllBytes(tampered.ManifestPath, bytes);
            refused += Try(tampered) ? 0 : 1;
        }

        Assert.InRange(refused, Rounds / 4, Rounds);
    }

    [Theory]
    [MemberData(nameof(Graphs))]
    public void A_graph_with_changed_bytes_is_refused_or_works(string file, int seed) => FuzzGraph(file, seed, (sound, random) =>
    {
        byte[] bytes = [.. sound];
        for (int change = random.Next(1, 4); change > 0; change--)
            bytes[random.Next(bytes.Length)] ^= (byte)(1 << random.Next(8));
        return bytes;
    });

    [Theory]
    [MemberData(nameof(Graphs))]
    public void A_graph_with_changed_nodes_is_refused_or_works(string file, int seed) => FuzzGraph(file, seed, (sound, random) =>
    {
        ModelProto model = ModelProto.Parser.ParseFrom(sound);
        for (int change = random.Next(1, 3); change > 0; change--)
            Change(model.Graph, random);
        return model.ToByteArray();
    });

    private static void FuzzGraph(string file, int seed, Func<byte[], Random, byte[]> damage)
    {
        using var tampered = new TamperedBundle();
        byte[] sound = File.ReadAllBytes(tampered.File(file));
        var random = new Random(seed);
        int refused = 0;
        for (int round = 0; round < Rounds; round++)
        {
            tampered.EditFile(file, _ => damage(sound, random));
            refused += Try(tampered) ? 0 : 1;
        }

        Assert.InRange(refused, Rounds / 4, Rounds);
    }

    private static void Change(GraphProto graph, Random random)
    {
        long[] numbers = [long.MinValue, int.MinValue, -2, -1, 0, 1, 2, 3, 4, 7, 8, 16, 17, 1 << 20, int.MaxValue, long.MaxValue];
        NodeProto node = graph.Node[random.Next(graph.Node.Count)];
        switch (random.Next(8))
        {
            case 0 or 1 when node.Attribute.Count > 0:
                AttributeProto attribute = node.Attribute[random.Next(node.Attribute.Count)];
                attribute.I = Any(numbers);
                if (attribute.Ints.Count > 0)
                    attribute.Ints[random.Next(attribute.Ints.Count)] = Any(numbers);
                break;
            case 2:
                node.OpType = Any(graph.Node).OpType;
                break;
            case 3 when node.Input.Count > 0:
                node.Input[random.Next(node.Input.Count)] = Any(
                    [.. graph.Input.Select(input => input.Name), .. graph.Initializer.Select(tensor => tensor.Name), ""]);
                break;
            case 4 when node.Input.Count > 0:
                node.Input[random.Next(node.Input.Count)] = Any(Any(graph.Node).Output);
                break;
            case 5 when node.Input.Count > 0:
                node.Input.RemoveAt(random.Next(node.Input.Count));
                break;
            case 6 when node.Domain.Length > 0:
                string[] options = ["do_rotary", "rotary_interleaved", "local_window_size", "smooth_softmax", "kv_cache_bit_width", "qk_output"];
                node.Attribute.Add(new AttributeProto { Name = Any(options), Type = AttributeProto.Types.AttributeType.Int, I = Any(numbers) });
                break;
            default:
                if (graph.Initializer.FirstOrDefault(tensor => tensor.DataLocation != TensorProto.Types.DataLocation.External) is not { } constant)
                    goto case 2;
                byte[] bytes = constant.RawData.ToByteArray();
                if (bytes.Length >= sizeof(long))
                    BitConverter.TryWriteBytes(bytes.AsSpan(sizeof(long) * random.Next(bytes.Length / sizeof(long))), Any(numbers));
                constant.RawData = ByteString.CopyFrom(bytes);
                break;
        }

        T Any<T>(IReadOnlyList<T> from) => from[random.Next(from.Count)];
    }

    /// <summary>Whether the bundle generates; any exception but that of invalid models fails the test.</summary>
    private static bool Try(TamperedBundle tampered)
    {
        try
        {
            using EarlyExitModel model = EarlyExitModel.Load(tampered.Folder);
            int last = model.Configuration.VocabularySize - 1;
            IReadOnlyList<GenerationResult> results = model.Generate(
                [GenerationInput.FromTokenIds([9, Math.Min(12, last), 1]), GenerationInput.FromTokenIds([5])],
                new TextGenerationOptions
                {
                    MaxNewTokens = 3,
                    BatchSize = 2,
                    Exit = new ExitPolicy { StaticExitLayer = Math.Min(2, model.Configuration.DecoderLayerCount) },
                });
            Assert.Equal(2, results.Count);
            Assert.All(results, result => Assert.All(result.TokenIds, id => Assert.InRange(id, 0, last)));
            return true;
        }
        catch (InvalidModelException exception)
        {
            Assert.Contains(tampered.Folder, exception.Message);
            return false;
        }
    }
}
