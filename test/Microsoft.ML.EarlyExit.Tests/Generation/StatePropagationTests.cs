using System.Text.Json;
using FsCheck;
using FsCheck.Fluent;
using FsCheck.Xunit;
using Microsoft.ML.EarlyExit.Model;
using Microsoft.ML.EarlyExit.Runtime;

namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>Both kinds of state propagation, through whole generations.</summary>
public sealed class StatePropagationTests
{
    public static TheoryData<string, string, int> ShallowDeepTraces()
    {
        var data = new TheoryData<string, string, int>();
        foreach (string file in new[] { "restaurants", "tiny-v11" })
        {
            foreach (JsonElement configuration in Traces(file).RootElement.GetProperty("configurations").EnumerateArray())
            {
                if (!configuration.GetProperty("kind").GetString()!.StartsWith("shallow-deep", StringComparison.Ordinal))
                    continue;
                data.Add(file, configuration.GetProperty("name").GetString()!, 1);
                data.Add(file, configuration.GetProperty("name").GetString()!, 5);
            }
        }

        return data;
    }

    [Theory]
    [MemberData(nameof(ShallowDeepTraces))]
    public void One_exit_with_either_kind_gives_what_the_papers_code_does(string file, string name, int slots)
    {
        EarlyExitModel model = TestModels.Model(file == "restaurants" ? TestModels.Demo : TestModels.Exits);
        JsonElement traces = Traces(file).RootElement;
        JsonElement configuration = traces.GetProperty("configurations").EnumerateArray()
            .Single(candidate => candidate.GetProperty("name").GetString() == name);
        Assert.Equal(1, configuration.GetProperty("repetition_penalty").GetDouble());
        int exitLayer = configuration.GetProperty("exit_layer").GetInt32();
        IReadOnlyList<IReadOnlyList<PlainDecodingLoop.Token>> results = PlainDecodingLoop.Generate(
            model,
            [.. traces.GetProperty("prompts").EnumerateArray().Select(prompt => Ints(prompt.GetProperty("ids")))],
            [new DecoderSegment(1, exitLayer), new DecoderSegment(exitLayer + 1, model.Configuration.DecoderLayerCount)],
            configuration.GetProperty("kind").GetString() == "shallow-deep-parallel" ? StatePropagation.ParallelDecoding : StatePropagation.StateCopy,
            configuration.GetProperty("threshold").GetSingle(), traces.GetProperty("generation").GetProperty("max_new_tokens").GetInt32(), slots);
        int compared = 0;
        foreach (JsonElement sequence in configuration.GetProperty("sequences").EnumerateArray())
        {
            IReadOnlyList<PlainDecodingLoop.Token> ours = results[sequence.GetProperty("prompt").GetInt32()];
            bool isWhole = true;
            int index = 0;
            foreach (JsonElement step in sequence.GetProperty("steps").EnumerateArray())
            {
                if (step.TryGetProperty("near_ties", out _))
                {
                    isWhole = false;
                    break;
                }

                PlainDecodingLoop.Token token = ours[index++];
                Assert.Equal((step.GetProperty("token").GetInt32(), step.GetProperty("exit").GetInt32()), (token.Id, token.ExitLayer));
                Assert.Equal([exitLayer], Ints(step.GetProperty("layers")));
                Assert.Equal(step.GetProperty("confidences")[0].GetSingle(), Assert.Single(token.Confidences), 1e-4f);
                compared++;
            }

            if (isWhole)
                Assert.Equal(Ints(sequence.GetProperty("tokens")), ours.Select(token => token.Id));
        }

        Assert.True(compared > 50, $"Only {compared} steps were compared.");
    }

    [Property(MaxTest = 25)]
    public Property Copying_states_when_they_are_needed_gives_what_copying_them_at_once_does() => Prop.ForAll(
        (from rows in Gen.Choose(1, 6)
         from seed in Gen.Choose(0, 1_000_000)
         from slots in Gen.Choose(1, 4)
         from minimumLayer in Gen.Choose(1, 7)
         from threshold in Gen.Elements(0.1f, 0.3f, 0.5f, 0.7f)
         select (inputs: Inputs(rows, seed), slots, minimumLayer, threshold)).ToArbitrary(),
        one =>
        {
            EarlyExitModel model = TestModels.Model(TestModels.Exits);
            DecoderSegment[] segments =
                [new(1, one.minimumLayer), .. Enumerable.Range(one.minimumLayer + 1, 8 - one.minimumLayer).Select(layer => new DecoderSegment(layer, layer))];
            IReadOnlyList<IReadOnlyList<PlainDecodingLoop.Token>> eager =
                PlainDecodingLoop.Generate(model, one.inputs, segments, StatePropagation.StateCopy, one.threshold, 24, one.slots, CopyAtOnce);
            IReadOnlyList<IReadOnlyList<PlainDecodingLoop.Token>> lazy =
                PlainDecodingLoop.Generate(model, one.inputs, segments, StatePropagation.StateCopy, one.threshold, 24, one.slots);
            IReadOnlyList<GenerationResult> library = model.Generate(
                [.. one.inputs.Select(GenerationInput.FromTokenIds)],
                new TextGenerationOptions
                {
                    MaxNewTokens = 24, BatchSize = one.slots, Exit = new ExitPolicy { MinimumLayer = one.minimumLayer, Threshold = one.threshold },
                });
            for (int row = 0; row < one.inputs.Length; row++)
            {
                for (int index = 0; index < eager[row].Count && !eager[row][index].IsNearTie; index++)
                {
                    Assert.Equal((eager[row][index].Id, eager[row][index].ExitLayer), (lazy[row][index].Id, lazy[row][index].ExitLayer));
                    Assert.Equal((eager[row][index].Id, eager[row][index].ExitLayer), (library[row].TokenIds[index], library[row].ExitLayers[index]));
                }
            }

            void CopyAtOnce(DecoderBatch batch, int slot, int position, int exitLayer, float[] hidden)
            {
                T5Configuration configuration = model.Configuration;
                SelfAttention self = FullDepthStates.Memory(batch).Self;
                for (int layer = exitLayer + 1; layer <= configuration.DecoderLayerCount; layer++)
                {
                    self.Reach(layer);
                    self.Cache(layer).Store(slot, position, FullDepthStates.KeysValues(model, layer, hidden));
                    FullDepthStates.Memory(batch).States!.Filled(layer, slot, position + 1);
                }
            }
        });

    [Fact]
    public void With_parallel_decoding_a_token_at_full_depth_is_the_full_models_after_the_same_text()
    {
        EarlyExitModel model = TestModels.Model(TestModels.Exits);
        int[][] inputs = Inputs(8, seed: 5);
        var options = new TextGenerationOptions
        {
            MaxNewTokens = 40,
            BatchSize = 3,
            Exit = new ExitPolicy { MinimumLayer = 2, Threshold = 0.5f, StatePropagation = StatePropagation.ParallelDecoding },
        };
        IReadOnlyList<GenerationResult> results = model.Generate([.. inputs.Select(GenerationInput.FromTokenIds)], options);
        using OnnxThreadPool.Lane lane = model.Sessions.ThreadPool.CreateLane();
        int width = model.Configuration.ModelDimension;
        int compared = 0;
        int copied = 0;
        for (int row = 0; row < inputs.Length; row++)
        {
            int[] fed = [model.Configuration.DecoderStartTokenId, .. results[row].TokenIds.SkipLast(1)];
            float[][] states = FullDepthStates.States(TestModels.Exits, inputs[row], fed);
            for (int position = 0; position < fed.Length; position++)
            {
                int layer = results[row].ExitLayers[position];
                var normed = new float[width];
                var logits = new float[model.Head.VocabularySize];
                model.Head.Normalize(states[layer].AsSpan(position * width, width), normed);
                model.Head.Multiply(lane, normed, 1, logits);
                float[] ranked = [.. logits.OrderDescending().Take(2)];
                if (ranked[0] - ranked[1] < 1e-4f)
                    continue;
                Assert.Equal(Array.IndexOf(logits, ranked[0]), results[row].TokenIds[position]);
                compared++;
            }

            Assert.Equal(0, results[row].Operations.StatePropagation);
            copied += results[row].ExitLayers.Zip(results[row].ExitLayers.Skip(1)).Count(pair => pair.First < pair.Second);
        }

        Assert.True(compared > 100 && copied > 20, $"{compared} tokens were compared, and {copied} times a token went deeper than the one before it.");
    }

    private static int[][] Inputs(int rows, int seed)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, rows).Select(_ => (int[])[.. Enumerable.Range(0, random.Next(1, 30)).Select(_ => random.Next(2, 1024)), 1])];
    }

    private static JsonDocument Traces(string file) => JsonDocument.Parse(File.ReadAllBytes(TestModels.Fixture("seed-traces", file + ".json")));

    private static int[] Ints(JsonElement array) => [.. array.EnumerateArray().Select(element => element.GetInt32())];
}
