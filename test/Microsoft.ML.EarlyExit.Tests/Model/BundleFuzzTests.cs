namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>Random damage, the same in every run: a bundle is refused as such or works.</summary>
public sealed class BundleFuzzTests
{
    private const int Rounds = 100;

    public static TheoryData<string, int> Graphs =>
        [.. from file in (string[])["decoder-block-02.onnx", "encoder.onnx", "decoder-cross-keys-values-01.onnx"] from seed in (int[])[1, 2] select new TheoryDataRow<string, int>(file, seed)];

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
    public void A_graph_with_changed_bytes_is_refused_or_works(string file, int seed)
    {
        using var tampered = new TamperedBundle();
        byte[] sound = File.ReadAllBytes(tampered.File(file));
        var random = new Random(seed);
        int refused = 0;
        for (int round = 0; round < Rounds; round++)
        {
            tampered.EditFile(file, _ =>
            {
                byte[] bytes = [.. sound];
                for (int change = random.Next(1, 4); change > 0; change--)
                    bytes[random.Next(bytes.Length)] ^= (byte)(1 << random.Next(8));
                return bytes;
            });
            refused += Try(tampered) ? 0 : 1;
        }

        Assert.InRange(refused, Rounds / 4, Rounds);
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
                new TextGenerationOptions { MaxNewTokens = 3, BatchSize = 2, Exit = new ExitPolicy { StaticExitLayer = Math.Min(2, model.Configuration.DecoderLayerCount) } });
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
