using FsCheck;
using FsCheck.Fluent;
using FsCheck.Xunit;
using Microsoft.ML.EarlyExit.Evaluation.Metrics;

namespace Microsoft.ML.EarlyExit.Evaluation.Tests;

public sealed class LongestCommonSubsequenceTests
{
    private const int Tokens = 5;

    private static readonly Arbitrary<int[]> s_texts =
        Gen.Choose(0, 300).SelectMany(length => Gen.Choose(0, Tokens - 1).ArrayOf(length)).ToArbitrary();

    [Property]
    public Property Length_equals_the_whole_tables() => Prop.ForAll(s_texts, s_texts, (one, other) =>
        Assert.Equal(Table(one, other)[one.Length, other.Length], new LongestCommonSubsequence().Length(one, other, Tokens)));

    [Property]
    public Property Marks_equal_those_read_out_of_the_whole_table() => Prop.ForAll(s_texts, s_texts, (reference, prediction) =>
    {
        bool[] expected = ReadOut(reference, prediction);
        foreach (long wholeTableWords in (long[])[0, 1 << 20])
        {
            bool[] marks = new bool[reference.Length];
            new LongestCommonSubsequence(wholeTableWords).Mark(reference, prediction, Tokens, marks);
            Assert.Equal(expected, marks);
        }
    });

    [Fact]
    public void Cancelled_it_stops_and_can_be_used_again()
    {
        var subsequence = new LongestCommonSubsequence();
        int[] text = [.. Enumerable.Range(0, 200).Select(i => i % Tokens)];
        Assert.Throws<OperationCanceledException>(() => subsequence.Length(text, text, Tokens, new CancellationToken(true)));
        Assert.Throws<OperationCanceledException>(() => subsequence.Mark(text, text, Tokens, new bool[200], new CancellationToken(true)));
        Assert.Equal(200, subsequence.Length(text, text, Tokens));
        Assert.Throws<OperationCanceledException>(() => new RougeScorer().Score("a b", ["a b"], new CancellationToken(true)));
        Assert.Equal(1, new RougeScorer().Score("a b", "a b").RougeL.FMeasure);
    }

    private static int[,] Table(int[] reference, int[] prediction)
    {
        int[,] table = new int[reference.Length + 1, prediction.Length + 1];
        for (int i = 1; i <= reference.Length; i++)
        {
            for (int j = 1; j <= prediction.Length; j++)
                table[i, j] = reference[i - 1] == prediction[j - 1] ? table[i - 1, j - 1] + 1 : Math.Max(table[i - 1, j], table[i, j - 1]);
        }

        return table;
    }

    /// <summary>Which words of the reference rouge_score reads out of the whole table.</summary>
    internal static bool[] ReadOut(int[] reference, int[] prediction)
    {
        int[,] table = Table(reference, prediction);
        bool[] marks = new bool[reference.Length];
        for (int i = reference.Length, j = prediction.Length; i > 0 && j > 0;)
        {
            if (reference[i - 1] == prediction[j - 1])
            {
                marks[--i] = true;
                j--;
            }
            else if (table[i, j - 1] > table[i - 1, j])
            {
                j--;
            }
            else
            {
                i--;
            }
        }

        return marks;
    }
}
