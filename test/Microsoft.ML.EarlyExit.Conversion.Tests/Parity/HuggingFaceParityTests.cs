using System.Text.Json;
using Microsoft.ML.EarlyExit.Conversion.Graphs;
using Microsoft.ML.EarlyExit.Model.Bundle;
using Microsoft.ML.OnnxRuntime;

namespace Microsoft.ML.EarlyExit.Conversion.Tests;

/// <summary>Converted models against what Hugging Face's T5 computes from the same checkpoints.</summary>
public sealed class HuggingFaceParityTests(ConvertedModels models)
{
    private const double KeysValuesTolerance = 5e-3;

    public static TheoryData<string> Models => ["tiny-v10", "tiny-v11", "tiny-sharded", "tiny-buckets"];

    public static TheoryData<string, int> ModelsAndBatchSizes =>
        [.. from model in Models.Select(row => row.Data) from size in (int[])[1, 4, 8] select new TheoryDataRow<string, int>(model, size)];

    [Theory]
    [MemberData(nameof(Models))]
    public void Hidden_states_and_logits_of_every_layer_agree(string name)
    {
        using var fixture = new HuggingFaceFixture(name);
        using var model = new TeacherForcedModel(models.Bundle(name));
        using ModelBundle bundle = ModelBundle.Open(models.Bundle(name));
        int width = bundle.Configuration.ModelDimension;
        using var head = new BundleHead(models.Bundle(name));
        var largest = new SortedDictionary<string, double>();
        foreach (JsonElement item in fixture.Cases)
        {
            string at = item.GetProperty("name").GetString()!;
            int[][] mask = HuggingFaceFixture.Rows(item.GetProperty("attention_mask"));
            float[] encoded = model.Encode(HuggingFaceFixture.Rows(item.GetProperty("input_ids")), mask);
            float[] expected = fixture.Tensor($"{at}/encoder");
            Assert.Equal(expected.Length, encoded.Length);
            for (int position = 0; position < encoded.Length / width; position++)
            {
                if (mask[position / mask[0].Length][position % mask[0].Length] == 1)
                    Compare("encoder", expected.AsSpan(position * width, width), encoded.AsSpan(position * width, width));
            }

            float[][] states = model.Decode(encoded, mask, HuggingFaceFixture.Rows(item.GetProperty("decoder_input_ids")));
            Assert.Equal(bundle.Configuration.DecoderLayerCount + 1, states.Length);
            for (int layer = 0; layer < states.Length; layer++)
            {
                Compare($"h{layer}", fixture.Tensor($"{at}/h{layer}"), states[layer]);
                if (layer > 0)
                    Compare($"logits{layer}", fixture.Tensor($"{at}/logits{layer}"), head.Logits(states[layer]));
            }

            void Compare(string kind, ReadOnlySpan<float> right, ReadOnlySpan<float> ours)
            {
                double difference = Difference(right, ours);
                Assert.True(difference <= fixture.Tolerance(kind), $"{at}, {kind}: {difference} is more than {fixture.Tolerance(kind)}");
                largest[kind] = Math.Max(largest.GetValueOrDefault(kind), difference);
            }
        }

        foreach ((string kind, double difference) in largest)
            TestContext.Current.TestOutputHelper?.WriteLine($"{name} {kind}: {difference:G3}, allowed {fixture.Tolerance(kind):G3}");
    }

    [Theory]
    [MemberData(nameof(Models))]
    public void Keys_and_values_agree(string name)
    {
        using var fixture = new HuggingFaceFixture(name);
        using var model = new TeacherForcedModel(models.Bundle(name));
        using ModelBundle bundle = ModelBundle.Open(models.Bundle(name));
        JsonElement item = fixture.Root.GetProperty("kv");
        int[][] ids = HuggingFaceFixture.Rows(item.GetProperty("input_ids"));
        int[][] mask = [[.. ids[0].Select(_ => 1)]];
        float[] encoded = model.Encode(ids, mask);
        float[][] states = model.Decode(encoded, mask, [[.. item.GetProperty("decoder_tokens_fed").EnumerateArray().Select(token => token.GetInt32())]]);
        for (int layer = 0; layer < bundle.Configuration.DecoderLayerCount; layer++)
        {
            Check($"kv/self{layer}", bundle.Manifest.Graphs.StateKeysValues[layer], states[layer]);
            Check($"kv/cross{layer}", bundle.Manifest.Graphs.CrossKeysValues[layer], encoded);
        }

        void Check(string kind, string graph, float[] hidden)
        {
            using var session = new InferenceSession(Path.Combine(bundle.Folder, graph));
            using RunOptions options = new();
            int positions = hidden.Length / bundle.Configuration.ModelDimension;
            using OrtValue input = OrtValue.CreateTensorValueFromMemory(hidden, [positions, bundle.Configuration.ModelDimension]);
            using IDisposableReadOnlyCollection<OrtValue> outputs = session.Run(options, [GraphContract.Hidden], [input], [GraphContract.KeysValues]);
            ReadOnlySpan<float> keysValues = outputs[0].GetTensorDataAsSpan<float>();
            int inner = keysValues.Length / positions / 2;
            int width = inner / bundle.Configuration.HeadCount;
            for (int part = 0; part < 2; part++)
            {
                float[] expected = fixture.Tensor($"{kind}/{(part == 0 ? "key" : "value")}");
                for (int position = 0; position < positions; position++)
                {
                    for (int head = 0; head < bundle.Configuration.HeadCount; head++)
                    {
                        double difference = Difference(
                            expected.AsSpan(((head * positions) + position) * width, width),
                            keysValues.Slice((((position * 2) + part) * inner) + (head * width), width));
                        Assert.True(difference <= KeysValuesTolerance, $"{kind}, {(part == 0 ? "key" : "value")} {position} of head {head}: {difference}");
                    }
                }
            }
        }
    }

    [Theory]
    [MemberData(nameof(ModelsAndBatchSizes))]
    public void Greedy_generations_have_the_same_ids(string name, int batchSize)
    {
        using var fixture = new HuggingFaceFixture(name);
        using EarlyExitModel model = EarlyExitModel.Load(models.Bundle(name));
        var generations = new Dictionary<string, List<(string Case, int[] Input, int[] Expected, TextGenerationOptions Options)>>();
        foreach (JsonElement item in fixture.Cases)
        {
            int[][] ids = HuggingFaceFixture.Rows(item.GetProperty("input_ids"));
            int[][] mask = HuggingFaceFixture.Rows(item.GetProperty("attention_mask"));
            foreach (JsonProperty generation in item.GetProperty("generate").EnumerateObject()
                .Where(entry => entry.Name.StartsWith("greedy", StringComparison.Ordinal)))
            {
                int[][] sequences = HuggingFaceFixture.Rows(generation.Value.GetProperty("sequences"));
                Assert.Equal(ids.Length, sequences.Length);
                for (int row = 0; row < ids.Length; row++)
                {
                    if (!generations.TryGetValue(generation.Name, out var rows))
                        generations[generation.Name] = rows = [];
                    rows.Add((
                        $"{item.GetProperty("name").GetString()} row {row}", [.. ids[row].Where((_, at) => mask[row][at] == 1)],
                        UpToEnd(sequences[row], model.Configuration.EndOfSequenceTokenId), Options(generation.Value, batchSize)));
                }
            }
        }

        Assert.Equal(6, generations.Count);
        foreach ((string generation, var rows) in generations)
        {
            Assert.Single(rows.Select(row => row.Options).Distinct());
            IReadOnlyList<GenerationResult> results = model.Generate([.. rows.Select(row => GenerationInput.FromTokenIds(row.Input))], rows[0].Options);
            for (int row = 0; row < rows.Count; row++)
                Assert.True(
                    rows[row].Expected.SequenceEqual(results[row].TokenIds), $"{generation}, {rows[row].Case}: {string.Join(' ', results[row].TokenIds)}");
        }
    }

    [Fact]
    public void Relative_position_buckets_agree()
    {
        using JsonDocument json = JsonDocument.Parse(File.ReadAllBytes(Repository.Fixture(Path.Combine("hf-t5", "buckets.json"))));
        foreach (JsonElement table in json.RootElement.EnumerateArray())
        {
            int buckets = table.GetProperty("num_buckets").GetInt32();
            int maxDistance = table.GetProperty("max_distance").GetInt32();
            int from = table.GetProperty("relative_position_from").GetInt32();
            foreach (bool bidirectional in (bool[])[true, false])
            {
                int[] expected = [.. table.GetProperty(bidirectional ? "bidirectional" : "causal").EnumerateArray().Select(bucket => bucket.GetInt32())];
                Assert.Equal(expected, expected.Select((_, index) => RelativePositionBuckets.Bucket(from + index, bidirectional, buckets, maxDistance)));

                // Within what the table shows, nothing beyond the reach may have another bucket than at it.
                int reach = RelativePositionBuckets.Reach(bidirectional, buckets, maxDistance);
                Assert.InRange(reach, 1, 300);
                Assert.All(Enumerable.Range(reach, 301 - reach), distance => Assert.Equal(expected[0], expected[-distance - from]));
                Assert.NotEqual(expected[0], expected[-(reach - 1) - from]);
                if (bidirectional)
                    Assert.All(Enumerable.Range(reach, 301 - reach), distance => Assert.Equal(expected[^1], expected[distance - from]));
            }
        }
    }

    private static TextGenerationOptions Options(JsonElement arguments, int batchSize)
    {
        var options = new TextGenerationOptions { BatchSize = batchSize };
        foreach (JsonProperty argument in arguments.EnumerateObject())
        {
            options = argument.Name switch
            {
                "max_new_tokens" => options with { MaxNewTokens = argument.Value.GetInt32() },
                "min_new_tokens" => options with { MinNewTokens = argument.Value.GetInt32() },
                "repetition_penalty" => options with { RepetitionPenalty = argument.Value.GetSingle() },
                "no_repeat_ngram_size" => options with { NoRepeatNgramSize = argument.Value.GetInt32() },
                "sequences" => options,
                _ => throw new NotSupportedException($"The fixture's argument '{argument.Name}' has no option."),
            };
        }

        return options;
    }

    /// <summary>Without the start token and what fills up the batch.</summary>
    private static int[] UpToEnd(int[] sequence, int endOfSequence)
    {
        int end = Array.IndexOf(sequence, endOfSequence, 1);
        return end < 0 ? sequence[1..] : sequence[1..(end + 1)];
    }

    private static double Difference(ReadOnlySpan<float> expected, ReadOnlySpan<float> actual)
    {
        Assert.Equal(expected.Length, actual.Length);
        double largest = 0;
        for (int index = 0; index < expected.Length; index++)
        {
            double difference = Math.Abs((double)expected[index] - actual[index]);

            // A NaN counts as far off.
            largest = double.IsNaN(difference) ? double.PositiveInfinity : Math.Max(largest, difference);
        }

        return largest;
    }
}
