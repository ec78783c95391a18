using System.Text.Json;
using FsCheck;
using FsCheck.Fluent;
using FsCheck.Xunit;
using Microsoft.ML.EarlyExit.Conversion;
using Microsoft.ML.EarlyExit.Conversion.Checkpoint;
using Microsoft.ML.EarlyExit.Model;
using Microsoft.ML.EarlyExit.Runtime;
using Microsoft.ML.OnnxRuntime;

namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>
/// Parallel decoding against the full model over the same tokens: whatever left where, all that was computed is what the full model computes, and a slot that
/// was rolled back continues as if nothing had been there.
/// </summary>
public sealed class ParallelDecodingTests
{
    // The fixtures' own, see test/fixtures/hf-t5/README.md.
    private const double KeysValuesTolerance = 5e-3;

    private static readonly string[] s_models = [TestModels.Exits, "tiny-v10", "tiny-v11", "tiny-sharded", "tiny-buckets"];

    [Property(MaxTest = 60)]
    public Property States_keys_and_values_after_any_exits_are_the_full_models() => Prop.ForAll(
        (from name in Gen.Elements(s_models)
         from slots in Gen.Choose(1, 5)
         from rows in Gen.Choose(1, 7)
         from longest in Gen.Elements(6, 20, 50, 80)
         from deep in Gen.Elements(0.02, 0.2, 0.5)
         from seed in Gen.Choose(0, 1_000_000)
         select (name, slots, rows, longest, deep, seed)).ToArbitrary(),
        one =>
        {
            EarlyExitModel model = TestModels.Model(one.name);
            var random = new Random(one.seed);
            using var walk = new Walk(one.name, one.slots, Segments(random, model.Configuration.DecoderLayerCount), one.longest);
            // The row of every slot: its tokens, and how many have run.
            var tokens = new int[one.slots][];
            int begun = 0;
            while (true)
            {
                for (int slot = 0; slot < one.slots; slot++)
                {
                    if (tokens[slot] is { } row && walk.Length(slot) < row.Length)
                        continue;
                    if (tokens[slot] is { } ended)
                    {
                        if (random.Next(2) == 0)
                            walk.RunPending(slot);
                        walk.AssertFullModels(slot, ended);
                    }

                    tokens[slot] = null!;
                    if (begun == one.rows)
                        continue;
                    begun++;
                    walk.Admit(slot, Ids(random, model, random.Next(1, 100)));
                    tokens[slot] = Ids(random, model, random.Next(1, one.longest + 1));
                }

                int[] running = [.. Enumerable.Range(0, one.slots).Where(slot => tokens[slot] is not null && random.Next(8) > 0)];
                if (tokens.All(row => row is null))
                    break;
                walk.Step(running, [.. running.Select(slot => tokens[slot][walk.Length(slot)])], () => random.NextDouble() < one.deep);
            }
        });

    [Property(MaxTest = 60)]
    public Property A_row_whose_drafts_were_rolled_back_continues_as_if_they_had_not_been() => Prop.ForAll(
        (from name in Gen.Elements(s_models)
         from slots in Gen.Choose(1, 3)
         from rounds in Gen.Choose(1, 8)
         from deep in Gen.Elements(0.0, 0.2, 0.5)
         from seed in Gen.Choose(0, 1_000_000)
         select (name, slots, rounds, deep, seed)).ToArbitrary(),
        one =>
        {
            EarlyExitModel model = TestModels.Model(one.name);
            var random = new Random(one.seed);
            using var walk = new Walk(one.name, one.slots, Segments(random, model.Configuration.DecoderLayerCount), 200);
            int[] all = [.. Enumerable.Range(0, one.slots)];
            List<int>[] tokens = [.. all.Select(_ => new List<int>())];
            foreach (int slot in all)
                walk.Admit(slot, Ids(random, model, random.Next(1, 30)));
            for (int round = 0; round < one.rounds; round++)
            {
                int drafts = random.Next(1, 20);
                for (int draft = 0; draft < drafts; draft++)
                {
                    foreach (int slot in all)
                        tokens[slot].Add(Ids(random, model, 1)[0]);
                    walk.Step(all, [.. all.Select(slot => tokens[slot][^1])], () => random.NextDouble() < one.deep);
                }

                foreach (int slot in all)
                {
                    // With and without a verification in between: the next one then has states of before and after the roll back.
                    if (random.Next(3) > 0)
                        walk.RunPending(slot);
                    walk.AssertFullModels(slot, tokens[slot]);
                    int length = random.Next(tokens[slot].Count - drafts, tokens[slot].Count + 1);
                    walk.RollBack(slot, length);
                    tokens[slot].RemoveRange(length, tokens[slot].Count - length);
                    if (length > 0)
                        walk.AssertFullModels(slot, tokens[slot]);
                }
            }
        });

    [Fact]
    public void Drafts_can_be_rolled_back_to_every_position()
    {
        const int Drafts = 40;
        EarlyExitModel model = TestModels.Model(TestModels.Exits);
        var random = new Random(11);
        int[] input = Ids(random, model, 9);
        int[] tokens = Ids(random, model, Drafts);
        for (int length = 0; length <= Drafts; length++)
        {
            using var walk = new Walk(TestModels.Exits, 2, [new(1, 2), new(3, 5), new(6, 8)], 2 * Drafts);
            walk.Admit(1, input);
            foreach (int token in tokens)
                walk.Step([1], [token], () => false);
            Assert.Equal(0, walk.RunPending(1));
            Assert.Equal(Drafts, walk.RunPending(1));
            walk.RollBack(1, length);
            int[] continued = [.. tokens[..length], .. Ids(random, model, 5)];
            foreach (int token in continued[length..])
                walk.Step([1], [token], () => random.Next(3) == 0);
            Assert.InRange(walk.RunPending(1), length, length + 5);
            walk.AssertFullModels(1, continued);
        }

        using var whole = new Walk(TestModels.Exits, 1, [new(1, 2), new(3, 8)], 4);
        whole.Admit(0, input);
        whole.Step([0], tokens[..1], () => false);
        Assert.Throws<ArgumentOutOfRangeException>(() => whole.RollBack(0, 2));
        Assert.Throws<ArgumentOutOfRangeException>(() => whole.RollBack(0, -1));
    }

    [Fact]
    public void A_run_for_earlier_tokens_counts_the_blocks_of_each_at_its_position()
    {
        EarlyExitModel model = TestModels.Model(TestModels.Exits);
        using var walk = new Walk(TestModels.Exits, 1, [new(1, 3), new(4, 6), new(7, 8)], 8);
        walk.Admit(0, [5, 6, 7, 1]);
        // Token 0 leaves after 3, token 1 after 6, token 2 after 3.
        walk.Step([0], [0], () => false);
        var answers = new Queue<bool>([true, false]);
        walk.Step([0], [9], () => answers.Dequeue());
        walk.Step([0], [12], () => false);
        walk.TakeOperations(0);
        Assert.Equal(0, walk.RunPending(0));
        // d = 48, i = 32, d_ff = 96 gated, S = 4. A block at position 0: 2·48·32·4 + 4·32 + 2·48·32·2 + 4·32·4 + 2·48·96·3 = 46720, and 128 more with each
        // position.
        // Layers 4 to 6 lack position 2; 7 and 8 all three; these are reached for the first time: 2·48·32·2·4 = 24576 each.
        Assert.Equal(new OperationCounts((3 * (46720 + 256)) + (2 * (46720 + 46848 + 46976)) + (2 * 24576), 0, 0, 0, 0), walk.TakeOperations(0));
        Assert.Equal(3, walk.RunPending(0));
        Assert.Equal(default, walk.TakeOperations(0));
    }

    [Theory]
    [InlineData("tiny-v10")]
    [InlineData("tiny-v11")]
    [InlineData("tiny-sharded")]
    [InlineData("tiny-buckets")]
    public void Keys_and_values_of_tokens_that_left_early_are_hugging_faces(string name)
    {
        EarlyExitModel model = TestModels.Model(name);
        using JsonDocument document = JsonDocument.Parse(File.ReadAllBytes(TestModels.Fixture("hf-t5", name, "cases.json")));
        using SafetensorsFile file = SafetensorsFile.Open(TestModels.Fixture("hf-t5", name, "tensors.safetensors"));
        JsonElement fixture = document.RootElement.GetProperty("kv");
        int[] input = [.. fixture.GetProperty("input_ids")[0].EnumerateArray().Select(id => id.GetInt32())];
        int[] tokens = [.. fixture.GetProperty("decoder_tokens_fed").EnumerateArray().Select(id => id.GetInt32())];
        int layers = model.Configuration.DecoderLayerCount;
        int heads = model.Configuration.HeadCount;
        int width = model.Configuration.KeyValueDimension;
        int graphWidth = model.Bundle.Manifest.GraphHeadDimension;
        for (int seed = 0; seed < 10; seed++)
        {
            var random = new Random(seed);
            using var walk = new Walk(name, 2, Segments(random, layers), tokens.Length);
            walk.Admit(0, input);
            walk.Admit(1, input);
            foreach (int token in tokens)
                walk.Step([0, 1], [token, token], () => random.Next(3) == 0);
            walk.RunPending(0);
            walk.RunPending(1);
            for (int layer = 1; layer <= layers; layer++)
            {
                float[] keys = Tensor($"kv/self{layer - 1}/key");
                float[] values = Tensor($"kv/self{layer - 1}/value");
                Assert.Equal(heads * tokens.Length * width, keys.Length);
                for (int position = 0; position < tokens.Length; position++)
                {
                    foreach (int slot in new[] { 0, 1 })
                    {
                        float[] ours = walk.KeysValues(layer, slot, position);
                        for (int head = 0; head < heads; head++)
                        {
                            int at = ((head * tokens.Length) + position) * width;
                            AssertClose(keys.AsSpan(at, width), ours.AsSpan(head * graphWidth, width), KeysValuesTolerance);
                            AssertClose(values.AsSpan(at, width), ours.AsSpan((heads + head) * graphWidth, width), KeysValuesTolerance);
                        }
                    }
                }
            }
        }

        float[] Tensor(string key)
        {
            CheckpointTensor tensor = file.Tensors.Single(candidate => candidate.Name == key);
            var values = new float[tensor.ElementCount];
            tensor.Read(0, values);
            return values;
        }
    }

    /// <summary>The layers cut into random groups.</summary>
    private static DecoderSegment[] Segments(Random random, int layers)
    {
        var segments = new List<DecoderSegment>();
        for (int first = 1, last; first <= layers; first = last + 1)
        {
            last = random.Next(first, Math.Min(layers, first + 3) + 1);
            segments.Add(new DecoderSegment(first, last));
        }

        return [.. segments];
    }

    private static int[] Ids(Random random, EarlyExitModel model, int count) =>
        [.. Enumerable.Range(0, count).Select(_ => random.Next(2, model.Configuration.VocabularySize))];

    private static void AssertClose(ReadOnlySpan<float> expected, ReadOnlySpan<float> actual, double tolerance)
    {
        Assert.Equal(expected.Length, actual.Length);
        for (int index = 0; index < expected.Length; index++)
        {
            if (!(Math.Abs((double)expected[index] - actual[index]) <= tolerance))
                Assert.Fail($"{actual[index]} instead of {expected[index]}, at {index}; {tolerance} is allowed");
        }
    }

    /// <summary>A batch whose tokens leave where a test says, and books of what it has shown.</summary>
    private sealed class Walk : IDisposable
    {
        private readonly string _name;
        private readonly EarlyExitModel _model;
        private readonly DecoderSegment[] _segments;
        private readonly DecoderBatch _batch;
        private readonly RunOptions _run = new();
        private readonly int[][] _inputIds;
        private readonly EncodedInput?[] _inputs;

        // By slot and position: the hidden state of the token after every segment that ran for it.
        private readonly List<List<(int Layer, float[] State)>>[] _seen;

        // By slot and layer: the positions that have keys and values there.
        private readonly int[][] _filled;

        public Walk(string name, int slots, DecoderSegment[] segments, int maxPositions)
        {
            _name = name;
            _model = TestModels.Model(name);
            _segments = segments;
            _batch = new DecoderBatch(
                _model.Bundle, _model.Sessions, slots, segments, StatePropagation.ParallelDecoding,
                maxPositions, new OperationCosts(_model.Configuration), _run);
            _inputIds = new int[slots][];
            _inputs = new EncodedInput?[slots];
            _seen = new List<List<(int, float[])>>[slots];
            _filled = [.. Enumerable.Range(0, slots).Select(_ => new int[_model.Configuration.DecoderLayerCount + 1])];
        }

        public int Length(int slot) => _batch.Length(slot);

        public OperationCounts TakeOperations(int slot) => _batch.TakeOperations(slot);

        public float[] KeysValues(int layer, int slot, int position) => FullDepthStates.Cached(_model, _batch, layer, slot, position);

        public void Admit(int slot, int[] inputIds)
        {
            _inputs[slot]?.Dispose();
            _inputIds[slot] = inputIds;
            _inputs[slot] = EncodedInput.Encode(_model.Sessions.Encoder, inputIds, _model.Configuration.ModelDimension, _run);
            _batch.Admit(slot, _inputs[slot]!);
            _seen[slot] = [];
            Array.Clear(_filled[slot]);
        }

        /// <summary>One token of each slot; after every segment but the last <paramref name="staysOn"/> is asked for each.</summary>
        public void Step(int[] slots, int[] tokens, Func<bool> staysOn)
        {
            _batch.Embed(slots, tokens);
            foreach (int slot in slots)
                _seen[slot].Add([]);
            List<int> running = [.. slots];
            for (int segment = 0; segment < _segments.Length && running.Count > 0; segment++)
            {
                _batch.Run(segment, running.ToArray());
                var staying = new List<int>();
                for (int row = 0; row < running.Count; row++)
                {
                    int slot = running[row];
                    for (int layer = _segments[segment].FirstLayer; layer <= _segments[segment].LastLayer; layer++)
                        _filled[slot][layer] = _batch.Length(slot) + 1;
                    _seen[slot][^1].Add((_segments[segment].LastLayer, _batch.Hidden(row).ToArray()));
                    bool isLast = segment == _segments.Length - 1;
                    if (isLast || !staysOn())
                    {
                        _batch.Advance(slot, row, exitsEarly: !isLast);
                        continue;
                    }

                    _batch.Hidden(row).CopyTo(_batch.Hidden(staying.Count));
                    staying.Add(slot);
                }

                running = staying;
            }
        }

        public int RunPending(int slot)
        {
            int length = _batch.Length(slot);
            int first = FullDepthStates.Memory(_batch).States?.FirstMissing(_filled[slot].Length - 1, slot) ?? length;
            _batch.RunPending([slot]);
            Assert.Equal(_filled[slot][^1], first);
            Assert.Equal(length, _batch.Length(slot));
            for (int position = first; position < length; position++)
            {
                _seen[slot][position].Add(
                    (_filled[slot].Length - 1, _batch.States(slot, first, length - first).Slice((position - first) * Width, Width).ToArray()));
            }

            Array.Fill(_filled[slot], length);
            return first;
        }

        public void RollBack(int slot, int length)
        {
            _batch.RollBack(slot, length);
            _seen[slot].RemoveRange(length, _seen[slot].Count - length);
            for (int layer = 0; layer < _filled[slot].Length; layer++)
                _filled[slot][layer] = Math.Min(_filled[slot][layer], length);
        }

        /// <summary>All hidden states that were seen, and all keys and values of the caches, are those of the full model.</summary>
        public void AssertFullModels(int slot, IReadOnlyList<int> tokens)
        {
            float[][] states = FullDepthStates.States(_name, _inputIds[slot], tokens);
            int keysValuesWidth = 2 * _model.Configuration.HeadCount * _model.Bundle.Manifest.GraphHeadDimension;
            Assert.Equal(tokens.Count, _seen[slot].Count);
            for (int position = 0; position < tokens.Count; position++)
            {
                foreach ((int layer, float[] state) in _seen[slot][position])
                    AssertClose(states[layer].AsSpan(position * Width, Width), state, 1e-4 * states[layer].Max(Math.Abs));
            }

            for (int layer = 1; layer < states.Length; layer++)
            {
                float[] expected = FullDepthStates.KeysValues(_model, layer, states[layer - 1]);
                for (int position = 0; position < _filled[slot][layer]; position++)
                    AssertClose(expected.AsSpan(position * keysValuesWidth, keysValuesWidth), KeysValues(layer, slot, position), KeysValuesTolerance);
            }
        }

        public void Dispose()
        {
            _batch.Dispose();
            foreach (EncodedInput? input in _inputs)
                input?.Dispose();
            _run.Dispose();
        }

        private int Width => _model.Configuration.ModelDimension;
    }
}
