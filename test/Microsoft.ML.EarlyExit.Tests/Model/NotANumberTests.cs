namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>Weights that are no numbers end the rows that meet them, with an error that names the layer, and no others.</summary>
public sealed class NotANumberTests
{
    private const int Width = 48;

    private static readonly int[][] s_inputs = [[9, 12, 40, 1], [77, 5, 1], [30, 31, 32, 33, 34, 1], [200, 1]];

    public static TheoryData<float, int?> Cases => new(
        from value in (float[])[float.NaN, float.PositiveInfinity, float.NegativeInfinity]
        from layer in (int?[])[null, 1, 3]
        select new TheoryDataRow<float, int?>(value, layer));

    [Theory]
    [MemberData(nameof(Cases))]
    public void An_input_token_s_embedding_spoils_only_rows_that_have_it(float value, int? firstExit)
    {
        using var tampered = new TamperedBundle();
        var options = new TextGenerationOptions
        {
            MaxNewTokens = 12,
            BatchSize = 4,
            Exit = firstExit is { } layer ? new ExitPolicy { MinimumLayer = layer, Threshold = 0.05f } : null,
        };
        IReadOnlyList<GenerationResult> sound = Generate(tampered, options);
        int unused = Enumerable.Range(5, 290).First(id => s_inputs.All(row => !row.Contains(id)) && sound.All(row => !row.TokenIds.Contains(id)));
        tampered.EditTensor("embedding", unused * Width, Width, value);
        IReadOnlyList<GenerationResult> results = Generate(tampered, options, [unused, 12, 1]);
        for (int row = 0; row < s_inputs.Length; row++)
        {
            Assert.Equal(sound[row].TokenIds, results[row].TokenIds);
            Assert.Equal(sound[row].ExitLayers, results[row].ExitLayers);
            Assert.Equal(sound[row].StopReason, results[row].StopReason);
        }

        GenerationResult spoilt = results[^1];
        Assert.Equal(StopReason.Error, spoilt.StopReason);
        Assert.Empty(spoilt.TokenIds);
        Assert.Contains($"decoder layer {firstExit ?? 5}", spoilt.Error);
    }

    [Fact]
    public void A_generated_token_s_embedding_ends_the_row_after_it()
    {
        using var tampered = new TamperedBundle();
        var options = new TextGenerationOptions { MaxNewTokens = 12, BatchSize = 4 };
        IReadOnlyList<GenerationResult> sound = Generate(tampered, options);
        int token = sound[0].TokenIds[0];
        Assert.True(sound[0].TokenIds.Count > 1);
        Assert.DoesNotContain(s_inputs, row => row.Contains(token));
        tampered.EditTensor("embedding", token * Width, 1, float.NaN);
        IReadOnlyList<GenerationResult> results = Generate(tampered, options);
        for (int row = 0; row < s_inputs.Length; row++)
        {
            int at = sound[row].TokenIds.ToList().IndexOf(token);
            bool isLast = at < 0 || at == sound[row].TokenIds.Count - 1;
            Assert.Equal(isLast ? sound[row].TokenIds : sound[row].TokenIds.Take(at + 1), results[row].TokenIds);
            Assert.Equal(isLast ? sound[row].StopReason : StopReason.Error, results[row].StopReason);
            if (!isLast)
                Assert.Contains("decoder layer 5", results[row].Error);
        }
    }

    [Theory]
    [InlineData("head", 7 * Width, 5, 1)]
    [InlineData("decoder.final_norm", 3, 5, 1)]
    [InlineData("decoder.3.ff.wo", 100, 5, 4)]
    [InlineData("decoder.2.self.kv", 10, 5, 3)]
    [InlineData("decoder.1.cross.kv", 10, 5, 2)]
    [InlineData("encoder.0.self.q", 0, 5, 1)]
    [InlineData("encoder.relative_bias", 0, 5, 1)]
    [InlineData("decoder.relative_bias", 0, 5, 1)]
    public void A_weight_all_rows_use_ends_all_rows_at_the_first_layer_that_sees_it(string tensor, int element, int layerOfAll, int layerOfExits)
    {
        using var tampered = new TamperedBundle();
        int count = tensor == "encoder.relative_bias" ? 250 : 1;
        tampered.EditTensor(tensor, element, count, float.NaN);
        foreach ((ExitPolicy? exit, int layer) in ((ExitPolicy?, int)[])[(null, layerOfAll), (new ExitPolicy { Threshold = 1 }, layerOfExits)])
        {
            foreach (GenerationResult result in Generate(tampered, new TextGenerationOptions { MaxNewTokens = 5, BatchSize = 3, Exit = exit }))
            {
                Assert.Equal(StopReason.Error, result.StopReason);
                Assert.Contains($"decoder layer {layer} ", result.Error);
                Assert.Empty(result.TokenIds);
            }
        }
    }

    private static IReadOnlyList<GenerationResult> Generate(TamperedBundle tampered, TextGenerationOptions options, params int[][] more)
    {
        using EarlyExitModel model = EarlyExitModel.Load(tampered.Folder);
        return model.Generate([.. s_inputs.Concat(more).Select(GenerationInput.FromTokenIds)], options);
    }
}
