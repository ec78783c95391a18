using Microsoft.ML.EarlyExit.Evaluation.Numerics;

namespace Microsoft.ML.EarlyExit.Reproduction;

/// <summary>95 % percentile intervals by resampling the sample's rows. The same seed draws the same rows for every cell.</summary>
internal static class Bootstrap
{
    public const int Replicates = 1000;

    /// <summary>The mean with its interval.</summary>
    public static Estimate Mean(IReadOnlyList<double> values, int seed) => Ratio(values, [.. Enumerable.Repeat(1.0, values.Count)], seed);

    /// <summary>The sum of one number divided by the sum of another, both of each row, with its interval.</summary>
    /// <param name="numerators">One number per row; at least one row.</param>
    /// <param name="denominators">The other number per row, above 0.</param>
    /// <param name="seed">Of the resampling.</param>
    public static Estimate Ratio(IReadOnlyList<double> numerators, IReadOnlyList<double> denominators, int seed) =>
        Of(numerators.Count, seed, rows => Sum(numerators, rows) / Sum(denominators, rows));

    /// <summary>Any number of a set of rows, with its interval.</summary>
    public static Estimate Of(int count, int seed, Func<IReadOnlyList<int>, double> statistic)
    {
        var random = new Random(seed);
        int[] rows = [.. Enumerable.Range(0, count)];
        double value = statistic(rows);
        double[] replicates = new double[Replicates];
        for (int replicate = 0; replicate < Replicates; replicate++)
        {
            foreach (ref int row in rows.AsSpan())
                row = random.Next(count);
            replicates[replicate] = statistic(rows);
        }

        Array.Sort(replicates);
        return new Estimate(value, SortedNumbers.Quantile(replicates, 0.025), SortedNumbers.Quantile(replicates, 0.975));
    }

    private static double Sum(IReadOnlyList<double> values, IReadOnlyList<int> rows)
    {
        double sum = 0;
        foreach (int row in rows)
            sum += values[row];
        return sum;
    }
}
