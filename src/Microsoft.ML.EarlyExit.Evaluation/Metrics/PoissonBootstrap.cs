using System.Numerics.Tensors;
using Microsoft.ML.EarlyExit.Evaluation.Numerics;

namespace Microsoft.ML.EarlyExit.Evaluation.Metrics;

/// <summary>
/// Bootstrap samples of rows that are not kept: in each sample a row occurs a Poisson(1) number of times, which for many rows is what drawing them with
/// replacement gives (Hanley and MacGibbon, 2006).
/// </summary>
internal sealed class PoissonBootstrap
{
    /// <summary>2^32 times the probability of at most 0, 1, 2, … occurrences; what is above the last is one occurrence more.</summary>
    private static readonly uint[] s_atMost = CreateTable();

    private readonly double[] _occurrences;
    private readonly double[][] _sums;
    private ulong _state;

    /// <param name="samples">How many samples.</param>
    /// <param name="numbers">How many numbers a row has.</param>
    /// <param name="seed">The seed.</param>
    public PoissonBootstrap(int samples, int numbers, int seed)
    {
        _occurrences = new double[samples];
        _sums = [.. Enumerable.Range(0, numbers).Select(_ => new double[samples])];
        _state = unchecked((ulong)seed * 0x9E3779B97F4A7C15UL);
    }

    /// <summary>Adds a row's numbers to every sample as often as it occurs there.</summary>
    public void Add(ReadOnlySpan<double> numbers)
    {
        Draw();
        for (int index = 0; index < numbers.Length; index++)
        {
            // Many are 0: what was not asked for, and what did not match.
            if (numbers[index] != 0)
                TensorPrimitives.MultiplyAdd(_occurrences, numbers[index], _sums[index], _sums[index]);
        }
    }

    /// <summary>The percentile interval of a figure.</summary>
    /// <param name="compute">Makes the figure of a sample's sums; NaN where a sample has none.</param>
    /// <param name="level">The share of samples inside.</param>
    public ConfidenceInterval Interval(Func<double[], double> compute, double level)
    {
        double[] sums = new double[_sums.Length];
        var values = new List<double>(_occurrences.Length);
        for (int sample = 0; sample < _occurrences.Length; sample++)
        {
            for (int index = 0; index < sums.Length; index++)
                sums[index] = _sums[index][sample];
            double value = compute(sums);
            if (!double.IsNaN(value))
                values.Add(value);
        }

        values.Sort();
        return new ConfidenceInterval(SortedNumbers.Quantile(values, (1 - level) / 2), SortedNumbers.Quantile(values, (1 + level) / 2));
    }

    private void Draw()
    {
        ulong bits = 0;
        for (int sample = 0; sample < _occurrences.Length; sample++)
        {
            // SplitMix64 (Steele, Lea and Flood, 2014); one step serves two samples.
            if (sample % 2 == 0)
            {
                bits = _state += 0x9E3779B97F4A7C15UL;
                bits = (bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9UL;
                bits = (bits ^ (bits >> 27)) * 0x94D049BB133111EBUL;
                bits ^= bits >> 31;
            }
            else
            {
                bits >>= 32;
            }

            uint drawn = (uint)bits;
            int count = 0;
            while (count < s_atMost.Length && drawn >= s_atMost[count])
                count++;
            _occurrences[sample] = count;
        }
    }

    private static uint[] CreateTable()
    {
        var table = new List<uint>();
        double probability = Math.Exp(-1);
        double sum = 0;
        for (int count = 0; ; count++)
        {
            sum += probability;
            probability /= count + 1;
            double border = sum * 4294967296.0;
            if (border >= uint.MaxValue)
                return [.. table];
            table.Add((uint)border);
        }
    }
}
