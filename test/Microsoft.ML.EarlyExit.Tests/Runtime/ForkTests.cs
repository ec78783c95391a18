using FsCheck;
using FsCheck.Fluent;
using FsCheck.Xunit;
using Microsoft.ML.EarlyExit.Model;

namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>A slot that was forked, and the one it was forked from, continue as equal rows would.</summary>
public sealed class ForkTests
{
    private static readonly string[] s_models = [TestModels.Exits, "tiny-v10", "tiny-v11", "tiny-buckets"];

    [Property(MaxTest = 80)]
    public Property Forked_rolled_back_and_grown_slots_continue_as_equal_rows_do() => Prop.ForAll(
        (from name in Gen.Elements(s_models)
         from propagation in Gen.Elements(Enum.GetValues<StatePropagation>())
         from whole in Gen.Frequency((1, Gen.Constant(true)), (4, Gen.Constant(false)))
         from slots in Gen.Choose(2, 5)
         from rounds in Gen.Choose(2, 10)
         from seed in Gen.Choose(0, 1_000_000)
         select (name, propagation, whole, slots, rounds, seed)).ToArbitrary(),
        one =>
        {
            EarlyExitModel model = TestModels.Model(one.name);
            var random = new Random(one.seed);
            DecoderSegment[] segments = one.whole
                ? [new DecoderSegment(1, model.Configuration.DecoderLayerCount)]
                : ScriptedBatch.RandomSegments(random, model.Configuration.DecoderLayerCount);
            using var batch = new ScriptedBatch(one.name, one.slots, segments, one.propagation, 200);
            var inputs = new int[one.slots][];
            for (int slot = 0; slot < one.slots; slot++)
                Admit(slot, random.Next(1, 20));
            for (int round = 0; round < one.rounds; round++)
            {
                int at = random.Next(one.slots);
                switch (random.Next(4))
                {
                    case 0:
                        // Of any length: longer ones make the caches of all slots grow.
                        Admit(at, random.Next(1, 200));
                        break;
                    case 1:
                        int length = random.Next(batch.Rows[at].Count + 1);
                        batch.Batch.RollBack(at, length);
                        batch.Rows[at].RemoveRange(length, batch.Rows[at].Count - length);
                        break;
                    default:
                        int to = (at + random.Next(1, one.slots)) % one.slots;
                        batch.Batch.Fork(at, to);
                        (inputs[to], batch.Rows[to]) = (inputs[at], [.. batch.Rows[at]]);
                        break;
                }

                for (int steps = random.Next(1, 16); steps > 0; steps--)
                {
                    int[] running = [.. Enumerable.Range(0, one.slots).Where(_ => random.Next(6) > 0)];
                    batch.Run(running, Ids(running.Length), [.. running.Select(_ => random.Next(3) == 0 ? segments.Length - 1 : random.Next(segments.Length))]);
                }
            }

            for (int slot = 0; slot < one.slots; slot++)
            {
                // The same row, alone and without a fork.
                using var alone = new ScriptedBatch(one.name, 1, segments, one.propagation, 200);
                alone.Admit(0, inputs[slot]);
                foreach (ScriptedBatch.Step step in batch.Rows[slot])
                {
                    alone.Run([0], [step.Token], [step.Exit]);
                    ScriptedBatch.AssertSame(alone.Rows[0][^1], step);
                }
            }

            void Admit(int slot, int length) => batch.Admit(slot, inputs[slot] = Ids(length));

            int[] Ids(int count) => [.. Enumerable.Range(0, count).Select(_ => random.Next(2, model.Configuration.VocabularySize))];
        });

    [Fact]
    public void What_a_fork_computes_is_counted_for_it_alone()
    {
        DecoderSegment[] segments = [new(1, 3), new(4, 8)];
        using var batch = new ScriptedBatch(TestModels.Exits, 3, segments, StatePropagation.StateCopy, 8);
        batch.Admit(0, [5, 6, 7, 1]);
        batch.Run([0], [0], [0]);
        batch.Batch.Fork(0, 2);
        batch.Rows[2] = [.. batch.Rows[0]];
        Assert.NotEqual(default, batch.Batch.TakeOperations(0));
        Assert.Equal(default, batch.Batch.TakeOperations(2));
        Assert.Equal(1, batch.Batch.Length(2));

        // Layers 1 to 3 were copied; the others are reached for the first time by each.
        batch.Run([0, 2], [9, 12], [1, 1]);
        OperationCounts first = batch.Batch.TakeOperations(0);
        Assert.NotEqual(0, first.StatePropagation);
        Assert.Equal(first, batch.Batch.TakeOperations(2));
    }

    [Fact]
    public void A_slot_is_not_forked_into_itself()
    {
        using var batch = new ScriptedBatch(TestModels.Exits, 2, [new(1, 8)], StatePropagation.StateCopy, 8);
        batch.Admit(1, [5, 1]);
        Assert.Throws<ArgumentOutOfRangeException>(() => batch.Batch.Fork(1, 1));
    }
}
