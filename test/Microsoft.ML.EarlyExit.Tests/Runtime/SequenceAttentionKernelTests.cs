using System.Runtime.Intrinsics;
using Microsoft.ML.EarlyExit.Numerics;
using Microsoft.ML.EarlyExit.Runtime;

namespace Microsoft.ML.EarlyExit.Tests;

public sealed unsafe class SequenceAttentionKernelTests
{
    // Around the kernel's blocks of keys, its tiles, and whole blocks of queries.
    [Theory]
    [InlineData(64, 1, 1)]
    [InlineData(64, 64, 128)]
    [InlineData(64, 63, 127)]
    [InlineData(32, 5, 129)]
    [InlineData(16, 2, 400)]
    [InlineData(8, 7, 9)]
    [InlineData(3, 6, 40)]
    [InlineData(80, 4, 33)]
    [InlineData(128, 64, 257)]
    public void Every_vector_width_gives_softmax_of_the_scores_times_the_values(int width, int queries, int keys)
    {
        foreach (int biasRows in new[] { 0, 1, queries })
        {
            var given = new Given(width, queries, keys, biasRows);
            double[] expected = given.Defined();
            AssertClose(expected, given.Run(&SequenceAttentionKernel.Attend<SimdScalar, float>));
            AssertClose(expected, given.Run(&SequenceAttentionKernel.Attend<Simd128, Vector128<float>>));
            AssertClose(expected, given.Run(&SequenceAttentionKernel.Attend<Simd256, Vector256<float>>));
            AssertClose(expected, given.Run(&SequenceAttentionKernel.Attend<Simd512, Vector512<float>>));
            AssertClose(expected, given.Run(&SequenceAttentionKernel.Attend));
        }
    }

    [Theory]
    [InlineData(7)]
    [InlineData(250)]
    public void Scores_of_any_size_neither_overflow_nor_vanish(int largest)
    {
        // In the first block of keys, or in a later one, relative to which what came before is nothing.
        var given = new Given(16, 3, 300, biasRows: 0);
        given.Queries.AsSpan().Fill(1);
        given.Key(largest).Fill(1000);
        float[] actual = given.Run(&SequenceAttentionKernel.Attend);
        for (int query = 0; query < 3; query++)
            AssertClose([.. given.Value(largest).ToArray().Select(value => (double)value)], actual[(query * 16)..((query + 1) * 16)]);
    }

    [Theory]
    [InlineData(3)]
    [InlineData(150)]
    public void What_is_no_number_is_not_hidden(int key)
    {
        var given = new Given(16, 5, 200, biasRows: 5);
        given.Key(key)[3] = float.NaN;
        Assert.All(given.Run(&SequenceAttentionKernel.Attend), value => Assert.True(float.IsNaN(value)));
    }

    [Fact]
    public void What_is_masked_counts_for_nothing()
    {
        var given = new Given(16, 4, 260, biasRows: 1);
        given.Bias.AsSpan(100).Fill(float.MinValue);
        double[] expected = given.Defined();
        for (int key = 100; key < 260; key++)
            given.Value(key).Fill(1e30f);
        AssertClose(expected, given.Run(&SequenceAttentionKernel.Attend));
    }

    private static void AssertClose(double[] expected, float[] actual)
    {
        Assert.Equal(expected.Length, actual.Length);
        for (int index = 0; index < expected.Length; index++)
            Assert.Equal(expected[index], actual[index], 1e-5);
    }

    /// <summary>A head in the middle of others, whose memory must stay as it is.</summary>
    private sealed class Given
    {
        private const int Heads = 3;

        private readonly float[] _keysValues;
        private readonly int _width;
        private readonly int _queryCount;
        private readonly int _keyCount;
        private readonly int _biasRows;

        public Given(int width, int queries, int keys, int biasRows)
        {
            (_width, _queryCount, _keyCount, _biasRows) = (width, queries, keys, biasRows);
            Queries = Random(queries * Heads * width, 1);
            _keysValues = Random(keys * 2 * Heads * width, 2);
            Bias = Random(biasRows * keys, 3);
        }

        public float[] Queries { get; }

        public float[] Bias { get; }

        public Span<float> Key(int key) => _keysValues.AsSpan((((2 * key * Heads) + 1) * _width), _width);

        public Span<float> Value(int key) => _keysValues.AsSpan(((((2 * key) + 1) * Heads) + 1) * _width, _width);

        public double[] Defined()
        {
            var result = new List<double>();
            for (int query = 0; query < _queryCount; query++)
            {
                double[] scores = new double[_keyCount];
                for (int key = 0; key < _keyCount; key++)
                {
                    scores[key] = _biasRows == 0 ? 0 : Bias[(_biasRows == 1 ? 0 : query * _keyCount) + key];
                    for (int at = 0; at < _width; at++)
                        scores[key] += (double)Queries[(((query * Heads) + 1) * _width) + at] * Key(key)[at];
                }

                double max = scores.Max();
                double[] weights = [.. scores.Select(score => Math.Exp(score - max))];
                for (int at = 0; at < _width; at++)
                {
                    double sum = 0;
                    for (int key = 0; key < _keyCount; key++)
                        sum += weights[key] * Value(key)[at];
                    result.Add(sum / weights.Sum());
                }
            }

            return [.. result];
        }

        public float[] Run(delegate*<in SequenceAttentionPart, float*, void> attend)
        {
            float[] output = [.. Enumerable.Repeat(-7f, Queries.Length)];
            float[] scratch = [.. Enumerable.Repeat(float.NaN, SequenceAttentionKernel.ScratchLength(_width))];
            fixed (float* queries = Queries, keysValues = _keysValues, bias = Bias, written = output, room = scratch)
            {
                attend(
                    new SequenceAttentionPart
                    {
                        Queries = queries + _width,
                        Keys = keysValues + _width,
                        Values = keysValues + ((Heads + 1) * _width),
                        Bias = bias,
                        Output = written + _width,
                        QueryCount = _queryCount,
                        KeyCount = _keyCount,
                        Width = _width,
                        QueryStride = Heads * _width,
                        KeyStride = 2 * Heads * _width,
                        BiasStride = _biasRows == 1 ? 0 : _keyCount,
                    },
                    room);
            }

            Assert.All(Enumerable.Range(0, output.Length).Where(at => at / _width % Heads != 1), at => Assert.Equal(-7f, output[at]));
            return [.. Enumerable.Range(0, output.Length).Where(at => at / _width % Heads == 1).Select(at => output[at])];
        }

        private static float[] Random(int count, int seed)
        {
            var random = new Random(seed);
            return [.. Enumerable.Range(0, count).Select(_ => random.NextSingle() - 0.5f)];
        }
    }
}
