using FsCheck.Xunit;
using Microsoft.ML.EarlyExit.Exit.Confidences;

namespace Microsoft.ML.EarlyExit.Tests;

public sealed class ClassifierProbeTests
{
    [Fact]
    public void A_shared_probe_gives_the_sigmoid_of_its_product_at_every_layer()
    {
        var probe = new ClassifierProbe([[1f, -2f, 0.5f]], [0.25f]);

        Assert.Equal((1, 3), (probe.RowCount, probe.Width));
        foreach (int layer in (int[])[1, 7, 24])
        {
            Assert.Equal(1 / (1 + Math.Exp(-1.25)), probe.Evaluate(layer, [2f, 1f, 2f]), 1e-6);
            Assert.Equal(1 / (1 + Math.Exp(0.75)), probe.Evaluate(layer, [1f, 1f, 0f]), 1e-6);
        }
    }

    [Fact]
    public void With_a_row_per_layer_a_layer_uses_its_own()
    {
        var probe = new ClassifierProbe([[1f], [0f], [-1f]], [0f, 1f, 0f]);

        Assert.Equal(1 / (1 + Math.Exp(-2)), probe.Evaluate(1, [2f]), 1e-6);
        Assert.Equal(1 / (1 + Math.Exp(-1)), probe.Evaluate(2, [2f]), 1e-6);
        Assert.Equal(1 / (1 + Math.Exp(2)), probe.Evaluate(3, [2f]), 1e-6);
    }

    [Property]
    public void Any_finite_product_gives_a_confidence_in_the_unit_interval_that_rises_with_it(short first, short second)
    {
        var probe = new ClassifierProbe([[1f]], [0f]);
        float low = probe.Evaluate(1, [Math.Min(first, second)]);
        float high = probe.Evaluate(1, [Math.Max(first, second)]);

        Assert.InRange(low, 0f, 1f);
        Assert.InRange(high, low, 1f);
        Assert.Equal(1 / (1 + Math.Exp(-(double)first)), probe.Evaluate(1, [first]), 1e-6);
    }

    [Theory]
    [InlineData(-1e30f, 0f)]
    [InlineData(-200f, 0f)]
    [InlineData(0f, 0.5f)]
    [InlineData(200f, 1f)]
    [InlineData(1e30f, 1f)]
    [InlineData(float.NaN, float.NaN)]
    [InlineData(float.PositiveInfinity, float.NaN)]
    [InlineData(float.NegativeInfinity, float.NaN)]
    public void Extremes_neither_overflow_nor_pass_for_numbers(float hidden, float expected) =>
        Assert.Equal(expected, new ClassifierProbe([[1f, 1f]], [0f]).Evaluate(1, [hidden, 0f]));

    [Fact]
    public void Whoever_made_it_cannot_change_it_later()
    {
        float[] row = [1f, 2f];
        float[] biases = [3f];
        var probe = new ClassifierProbe([row], biases);

        row[0] = 9f;
        biases[0] = 9f;

        Assert.Equal(new ClassifierProbe([[1f, 2f]], [3f]), probe);
        Assert.Equal([1f, 2f], probe.Weights(0).ToArray());
        Assert.Equal([3f], probe.Biases.ToArray());
    }

    [Fact]
    public void Equality_is_by_value()
    {
        var probe = new ClassifierProbe([[1f, 2f], [3f, 4f]], [5f, 6f]);

        Assert.Equal(new ClassifierProbe([[1f, 2f], [3f, 4f]], [5f, 6f]), probe);
        Assert.Equal(new ClassifierProbe([[1f, 2f], [3f, 4f]], [5f, 6f]).GetHashCode(), probe.GetHashCode());
        Assert.NotEqual(new ClassifierProbe([[1f, 2f], [3f, 4.5f]], [5f, 6f]), probe);
        Assert.NotEqual(new ClassifierProbe([[1f, 2f], [3f, 4f]], [5f, 6.5f]), probe);
        Assert.NotEqual(new ClassifierProbe([[1f, 2f, 3f, 4f]], [5f]), probe);
        Assert.NotEqual(new ClassifierProbe([[1f], [2f], [3f], [4f]], [5f, 6f, 7f, 8f]), probe);
        Assert.False(probe.Equals(null));
    }

    public static TheoryData<float[][], float[], string> Malformed => new()
    {
        { [], [], "no row of weights" },
        { [[1f]], [], "1 rows of weights, but 0 biases" },
        { [[1f]], [1f, 2f], "1 rows of weights, but 2 biases" },
        { [[1f, 2f], [3f]], [1f, 2f], "weights[1] of the classifier has 1 numbers, but weights[0] has 2" },
        { [[], []], [1f, 2f], "weights[0] of the classifier is empty" },
        { [[1f, 2f], [3f, float.NaN]], [1f, 2f], "weights[1][1] of the classifier is NaN" },
        { [[float.PositiveInfinity]], [1f], "weights[0][0] of the classifier is" },
        { [[1f], [2f]], [1f, float.NegativeInfinity], "biases[1] of the classifier is" },
    };

    [Theory]
    [MemberData(nameof(Malformed))]
    public void A_malformed_one_is_refused_with_what_is_wrong(float[][] weights, float[] biases, string message) =>
        Assert.Contains(message, Assert.Throws<ArgumentException>(() => new ClassifierProbe(weights, biases)).Message);

    [Fact]
    public void A_missing_row_is_refused_by_its_name() =>
        Assert.Equal("weights[1]", Assert.Throws<ArgumentNullException>(() => new ClassifierProbe([[1f], null!], [1f, 2f])).ParamName);

    [Fact]
    public void A_model_of_another_width_or_depth_is_refused_with_both_numbers()
    {
        var shared = new ClassifierProbe([[1f, 2f]], [0f]);
        var three = new ClassifierProbe([[1f, 2f], [1f, 2f], [1f, 2f]], [0f, 0f, 0f]);
        shared.Validate(2, 12);
        three.Validate(2, 3);

        string width = Assert.Throws<ArgumentException>(() => shared.Validate(4, 12)).Message;
        Assert.Contains("2 weights", width);
        Assert.Contains("4 elements", width);
        string depth = Assert.Throws<ArgumentException>(() => three.Validate(2, 12)).Message;
        Assert.Contains("3 rows", depth);
        Assert.Contains("12 decoder layers", depth);
    }
}
