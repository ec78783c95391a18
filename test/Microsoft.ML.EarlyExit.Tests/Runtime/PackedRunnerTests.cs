using FsCheck;
using FsCheck.Fluent;
using FsCheck.Xunit;
using Microsoft.ML.EarlyExit.Model;
using Microsoft.ML.EarlyExit.Runtime;

namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>Rows that run several positions each, all at once, against the same rows alone.</summary>
public sealed class PackedRunnerTests
{
    private static readonly string[] s_models = [TestModels.Exits, "tiny-v10", "tiny-v11", "tiny-sharded", "tiny-buckets"];

    [Property(MaxTest = 60)]
    public Property Rows_together_are_rows_alone() => Prop.ForAll(
        (from name in Gen.Elements(s_models)
         from slots in Gen.Choose(2, 8)
         from steps in Gen.Choose(1, 40)
         from deep in Gen.Elements(0.02, 0.2, 0.5)
         from seed in Gen.Choose(0, 1_000_000)
         select (name, slots, steps, deep, seed)).ToArbitrary(),
        one =>
        {
            EarlyExitModel model = TestModels.Model(one.name);
            var random = new Random(one.seed);
            DecoderSegment[] segments = ScriptedBatch.RandomSegments(random, model.Configuration.DecoderLayerCount);
            using var together = new ScriptedBatch(one.name, one.slots, segments, StatePropagation.ParallelDecoding, one.steps);
            ScriptedBatch[] alone =
            [
                .. Enumerable.Range(0, one.slots).Select(_ => new ScriptedBatch(one.name, 1, segments, StatePropagation.ParallelDecoding, one.steps)),
            ];
            for (int slot = 0; slot < one.slots; slot++)
            {
                int[] ids = Ids(random, model, random.Next(1, 90));
                together.Admit(slot, ids);
                alone[slot].Admit(0, ids);
            }

            for (int step = 0; step < one.steps; step++)
            {
                int[] running = [.. Enumerable.Range(0, one.slots).Where(_ => random.Next(6) > 0)];
                int[] tokens = Ids(random, model, running.Length);
                int[] exits = [.. running.Select(_ => random.NextDouble() < one.deep ? segments.Length - 1 : random.Next(segments.Length))];
                together.Run(running, tokens, exits);
                for (int index = 0; index < running.Length; index++)
                    alone[running[index]].Run([0], [tokens[index]], [exits[index]]);
            }

            for (int slot = 0; slot < one.slots; slot++)
            {
                foreach ((ScriptedBatch.Step expected, ScriptedBatch.Step actual) in alone[slot].Rows[0].Zip(together.Rows[slot]))
                    ScriptedBatch.AssertSame(expected, actual);
                Assert.Equal(alone[slot].Batch.TakeOperations(0), together.Batch.TakeOperations(slot));
                alone[slot].Dispose();
            }
        });

    [Fact]
    public void More_positions_than_one_run_takes_are_run_in_turn()
    {
        const int Drafts = (PackedRunner.LargestRun / 3) + 5;
        EarlyExitModel model = TestModels.Model(TestModels.Exits);
        var random = new Random(3);
        DecoderSegment[] segments = [new(1, 2), new(3, 5), new(6, 8)];
        using var together = new ScriptedBatch(TestModels.Exits, 5, segments, StatePropagation.ParallelDecoding, Drafts);
        int[] slots = [0, 1, 2, 3, 4];
        int[][] inputs = [.. slots.Select(_ => Ids(random, model, 7))];
        foreach (int slot in slots)
            together.Admit(slot, inputs[slot]);
        for (int step = 0; step < Drafts; step++)
            together.Run(slots, Ids(random, model, slots.Length), [0, 0, 0, 0, 0]);
        together.Batch.RunPending(slots);
        foreach (int slot in slots)
        {
            float[] expected = FullDepthStates.States(TestModels.Exits, inputs[slot], [.. together.Rows[slot].Select(step => step.Token)])[^1];
            float[] actual = together.Batch.States(slot, 0, Drafts).ToArray();
            double tolerance = 1e-4 * expected.Max(Math.Abs);
            for (int at = 0; at < expected.Length; at++)
                Assert.Equal(expected[at], actual[at], tolerance);
        }
    }

    [Fact]
    public void A_shape_that_has_occurred_allocates_nothing()
    {
        DecoderSegment[] segments = [new(1, 3), new(4, 8)];
        using var batch = new ScriptedBatch(TestModels.Exits, 4, segments, StatePropagation.ParallelDecoding, 16);
        int[] slots = [0, 1, 2, 3];
        int[] tokens = [7, 8, 9, 10];
        foreach (int slot in slots)
            batch.Admit(slot, [5, 6, 1]);
        Drafts();
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int round = 0; round < 5; round++)
            Drafts();
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);

        // Three drafts of each row and a token at full depth; then all of it is forgotten.
        void Drafts()
        {
            for (int step = 0; step < 4; step++)
            {
                batch.Batch.Embed(slots, tokens);
                batch.Batch.Run(0, slots);
                if (step == 3)
                    batch.Batch.Run(1, slots);
                for (int row = 0; row < slots.Length; row++)
                    batch.Batch.Advance(slots[row], row, exitsEarly: step < 3);
            }

            foreach (int slot in slots)
                batch.Batch.RollBack(slot, 0);
        }
    }

    [Fact]
    public void Drafts_of_many_rows_are_verified_in_more_than_one_product()
    {
        // Twelve rows of up to 32 drafts: more than the logits of one product hold.
        EarlyExitModel model = TestModels.Model(TestModels.Exits);
        GenerationInput[] inputs = [.. Enumerable.Range(0, 12).Select(row => GenerationInput.FromTokenIds([.. Enumerable.Range(3 + row, 4 + row), 1]))];
        var options = new TextGenerationOptions { MaxNewTokens = 70, BatchSize = 12 };
        var speculating = new ExitPolicy { StaticExitLayer = 7, SelfSpeculation = new SelfSpeculation { DraftTokens = 32 } };
        IReadOnlyList<GenerationResult> expected = model.Generate(inputs, options, TestContext.Current.CancellationToken);
        IReadOnlyList<GenerationResult> actual = model.Generate(inputs, options with { Exit = speculating }, TestContext.Current.CancellationToken);
        Assert.Equal(expected.Select(row => row.TokenIds), actual.Select(row => row.TokenIds));
        Assert.Equal(expected.Select(row => row.StopReason), actual.Select(row => row.StopReason));
    }

    private static int[] Ids(Random random, EarlyExitModel model, int count) =>
        [.. Enumerable.Range(0, count).Select(_ => random.Next(2, model.Configuration.VocabularySize))];
}
