using FsCheck;
using FsCheck.Fluent;
using FsCheck.Xunit;
using Microsoft.ML.EarlyExit.Exit.Pruning;

namespace Microsoft.ML.EarlyExit.Tests;

public sealed class TopKTests
{
    [Property(MaxTest = 60)]
    public Property The_best_of_any_number_are_those_of_a_sort() => Prop.ForAll(Logits().ToArbitrary(), logits =>
    {
        for (int count = 0; count <= logits.Length; count++)
            AssertBest(logits, count);
    });

    [Fact]
    public void Of_a_whole_vocabulary_too()
    {
        var random = new Random(5);
        float[] logits = [.. Enumerable.Range(0, 32128).Select(_ => MathF.Round((random.NextSingle() - 0.5f) * 4000) / 100)];
        foreach (int count in new[] { 1, 2, 842, 2781, 32127, 32128 })
            AssertBest(logits, count);
    }

    [Fact]
    public void Of_one_that_no_sample_of_it_is_like()
    {
        // Every sixteenth logit is small, or large, or all are equal but few.
        var random = new Random(6);
        float[] small = [.. Enumerable.Range(0, 20_000).Select(id => id % 16 == 0 ? -100 : random.NextSingle())];
        float[] large = [.. Enumerable.Range(0, 20_000).Select(id => id % 16 == 0 ? 100 : random.NextSingle())];
        float[] equal = [.. Enumerable.Range(0, 20_000).Select(id => id % 1000 == 3 ? 2f : 1f)];
        float[] falling = [.. Enumerable.Range(0, 20_000).Select(id => -(float)id)];
        foreach (float[] logits in new[] { small, large, equal, falling })
        {
            foreach (int count in new[] { 15, 16, 20, 21, 600, 1250, 1251, 4999, 5001 })
                AssertBest(logits, count);
        }
    }

    [Fact]
    public void Both_zeros_are_equal_and_all_sizes_of_numbers_are_ordered()
    {
        float[] logits =
        [
            0f, -0f, float.Epsilon, -float.Epsilon, float.MaxValue, float.MinValue, 1e-38f, -1e-38f, -0f, 0f,
            1, -1, MathF.BitIncrement(1), float.MaxValue, -1e30f, float.MinValue, 1.5e38f, -0f, 0f, -1,
        ];
        for (int count = 0; count <= logits.Length; count++)
            AssertBest(logits, count);
        float[] equal = [.. Enumerable.Repeat(-0f, 40)];
        for (int count = 0; count <= equal.Length; count++)
            AssertBest(equal, count);
    }

    private static void AssertBest(float[] logits, int count)
    {
        int[] ranked = [.. Enumerable.Range(0, logits.Length).OrderByDescending(id => (double)logits[id]).ThenBy(id => id).Take(count)];
        int[] ids = new int[count];
        TopK.Select(logits, ids);
        Assert.Equal(ranked.Order(), ids);
        TopK.Rank(logits, ids, new ulong[count]);
        Assert.Equal(ranked, ids);
    }

    private static Gen<float[]> Logits() =>
        from length in Gen.Choose(1, 150)
        from values in Gen.ArrayOf(
            Gen.OneOf(
                Gen.Choose(-3, 3).Select(value => (float)value),
                Gen.Elements(0f, -0f, 1e-45f, -1e-45f, 1e38f, -1e38f),
                Gen.Choose(-1_000_000, 1_000_000).Select(value => value / 1000f),
                Gen.Choose(int.MinValue, int.MaxValue).Select(BitConverter.Int32BitsToSingle).Where(float.IsFinite)),
            length)
        select values;
}
