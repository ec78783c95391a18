using System.Text.Json;
using FsCheck;
using FsCheck.Fluent;
using FsCheck.Xunit;
using Microsoft.ML.EarlyExit.Evaluation.Metrics;

namespace Microsoft.ML.EarlyExit.Evaluation.Tests;

public sealed class RougeScorerTests
{
    private static readonly RougeScorer s_plain = new();
    private static readonly RougeScorer s_stemmed = new(useStemmer: true);
    private static readonly RougeScorer s_average = new(aggregation: ReferenceAggregation.Average);
    private static readonly Arbitrary<int[][]> s_lines = Gen.Choose(0, 4).ArrayOf().ArrayOf().ToArbitrary();

    [Theory]
    [InlineData("pairs-own.json", 760)]
    [InlineData("pairs-e2e.json", 550)]
    public void Equals_rouge_score(string file, int count)
    {
        JsonElement cases = MetricFixtures.Read("rouge", file).GetProperty("cases");
        Assert.Equal(count, cases.GetArrayLength());
        AssertAllEqual(cases);
    }

    [Fact]
    public void Equals_rouge_score_on_texts_beside_the_repository() =>
        AssertAllEqual(MetricFixtures.ReadBeside("rouge", "pairs-samsum.json").GetProperty("cases"));

    [Fact]
    public void Takes_the_best_of_several_references_as_rouge_score()
    {
        JsonElement cases = MetricFixtures.Read("rouge", "multi-reference-e2e.json").GetProperty("cases");
        Assert.Equal(150, cases.GetArrayLength());
        foreach (JsonElement line in cases.EnumerateArray())
        {
            string prediction = line.Text("prediction");
            string[] references = line.Texts("references");
            AssertEqual(line.GetProperty("plain"), s_plain.Score(prediction, references), prediction);
            AssertEqual(line.GetProperty("stemmed"), s_stemmed.Score(prediction, references), prediction);
        }
    }

    [Fact]
    public void Averages_several_references_when_asked_to()
    {
        foreach (JsonElement line in MetricFixtures.Read("rouge", "multi-reference-e2e.json").GetProperty("cases").EnumerateArray().Take(30))
        {
            string[] references = line.Texts("references");
            RougeScores[] each = [.. references.Select(reference => s_plain.Score(line.Text("prediction"), reference))];
            RougeScores average = s_average.Score(line.Text("prediction"), references);
            Assert.Equal(each.Average(scores => scores.Rouge1.Precision), average.Rouge1.Precision, 1e-12);
            Assert.Equal(each.Average(scores => scores.Rouge2.Recall), average.Rouge2.Recall, 1e-12);
            Assert.Equal(each.Average(scores => scores.RougeL.FMeasure), average.RougeL.FMeasure, 1e-12);
            Assert.Equal(each.Average(scores => scores.RougeLsum.FMeasure), average.RougeLsum.FMeasure, 1e-12);
        }
    }

    [Fact]
    public void Cuts_and_stems_words_as_rouge_score()
    {
        JsonElement lines = MetricFixtures.Read("rouge", "porter.json").GetProperty("tokens");
        Assert.Equal(150, lines.GetArrayLength());
        foreach (JsonElement line in lines.EnumerateArray())
        {
            Assert.Equal(line.Texts("plain"), Words(line.Text("text"), useStemmer: false));
            Assert.Equal(line.Texts("stemmed"), Words(line.Text("text"), useStemmer: true));
        }
    }

    [Property]
    public Property All_numbers_are_in_the_unit_interval() => Prop.ForAll(AnyTexts.One, AnyTexts.One, (prediction, reference) =>
    {
        foreach (RougeScore score in All(s_stemmed.Score(prediction, reference)))
        {
            Assert.InRange(score.Precision, 0, 1);
            Assert.InRange(score.Recall, 0, 1);
            Assert.InRange(score.FMeasure, Math.Min(score.Precision, score.Recall) - 1e-12, Math.Max(score.Precision, score.Recall) + 1e-12);
        }
    });

    [Property]
    public Property A_text_scores_1_against_itself_where_it_has_words() => Prop.ForAll(AnyTexts.One, text =>
    {
        RougeScores scores = s_plain.Score(text, text);
        int words = Words(text, useStemmer: false).Length;
        RougeScore whole = new(1, 1, 1);
        Assert.Equal(words > 0 ? whole : default, scores.Rouge1);
        Assert.Equal(words > 1 ? whole : default, scores.Rouge2);
        Assert.Equal(words > 0 ? whole : default, scores.RougeL);
        Assert.Equal(words > 0 ? whole : default, scores.RougeLsum);
    });

    [Property]
    public Property Swapping_the_texts_swaps_precision_and_recall() => Prop.ForAll(AnyTexts.One, AnyTexts.One, (one, other) =>
    {
        RougeScores forth = s_plain.Score(one, other);
        RougeScores back = s_plain.Score(other, one);
        foreach ((RougeScore first, RougeScore second) in new[] { (forth.Rouge1, back.Rouge1), (forth.Rouge2, back.Rouge2), (forth.RougeL, back.RougeL) })
        {
            Assert.Equal(first.Precision, second.Recall);
            Assert.Equal(first.Recall, second.Precision);
            Assert.Equal(first.FMeasure, second.FMeasure, 1e-12);
        }
    });

    [Property]
    public Property One_more_reference_never_lowers_the_best() => Prop.ForAll(AnyTexts.One, AnyTexts.Some, AnyTexts.One, (prediction, references, more) =>
    {
        RougeScore[] fewer = All(s_plain.Score(prediction, references));
        RougeScore[] best = All(s_plain.Score(prediction, [.. references, more]));
        for (int i = 0; i < fewer.Length; i++)
            Assert.True(best[i].FMeasure >= fewer[i].FMeasure);
    });

    [Property]
    public Property On_one_line_the_summary_is_scored_as_the_text() => Prop.ForAll(AnyTexts.One, AnyTexts.One, (one, other) =>
    {
        RougeScores scores = s_plain.Score(one.Replace('\n', ' '), other.Replace('\n', ' '));
        Assert.Equal(scores.RougeL, scores.RougeLsum);
    });

    [Fact]
    public void No_text_is_too_bad()
    {
        foreach (string prediction in MetricFixtures.HostileTexts)
        {
            foreach (string reference in MetricFixtures.HostileTexts)
                Assert.All(All(s_stemmed.Score(prediction, reference)), score => Assert.InRange(score.FMeasure, 0, 1));
        }
    }

    [Property]
    public Property Summaries_equal_the_union_of_all_lines_with_all_lines() => Prop.ForAll(s_lines, s_lines, (reference, prediction) =>
    {
        Dictionary<int, int> left = prediction.SelectMany(line => line).CountBy(word => word).ToDictionary();
        int shared = 0;
        foreach (int[] line in reference)
        {
            bool[] union = new bool[line.Length];
            foreach (int[] other in prediction)
                union = [.. LongestCommonSubsequenceTests.ReadOut(line, other).Zip(union, (mark, marked) => mark || marked)];
            shared += line.Where((word, i) => union[i] && left[word]-- > 0).Count();
        }

        RougeScore score = s_plain.Score(Text(prediction), Text(reference)).RougeLsum;
        Assert.Equal((double)shared / Math.Max(1, reference.Sum(line => line.Length)), score.Recall, 1e-12);
        Assert.Equal((double)shared / Math.Max(1, prediction.Sum(line => line.Length)), score.Precision, 1e-12);

        static string Text(int[][] lines) => string.Join('\n', lines.Select(line => string.Join(' ', line)));
    });

    [Fact]
    public void Long_texts_of_few_or_many_lines_take_little_memory()
    {
        // A table of numbers would take 1.6 GB for the first, one of bits 50 MB; the second has as many lines as words.
        Random random = new(5);
        string[] texts = [.. Enumerable.Range(0, 4).Select(i => Text(i < 2 ? " " : "\n"))];
        long before = GC.GetAllocatedBytesForCurrentThread();
        Assert.InRange(s_plain.Score("x\n" + texts[0], "y\n" + texts[1]).RougeLsum.FMeasure, 0.5, 1);
        RougeScores wordByWord = s_plain.Score(texts[2], texts[3]);
        Assert.Equal(wordByWord.Rouge1, wordByWord.RougeLsum);
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 20_000_000);

        string Text(string gap) => string.Concat(Enumerable.Range(0, 20_000).Select(_ => (char)('a' + random.Next(4)) + gap));
    }

    [Fact]
    public void Several_threads_get_the_same_scores()
    {
        JsonElement[] cases = [.. MetricFixtures.Read("rouge", "pairs-e2e.json").GetProperty("cases").EnumerateArray()];
        RougeScores[] expected = [.. cases.Select(line => s_stemmed.Score(line.Text("prediction"), line.Text("reference")))];
        Parallel.For(0, 8 * cases.Length, new ParallelOptions { MaxDegreeOfParallelism = 8 }, i =>
        {
            JsonElement line = cases[i % cases.Length];
            Assert.Equal(expected[i % cases.Length], s_stemmed.Score(line.Text("prediction"), line.Text("reference")));
        });
    }

    [Fact]
    public void Missing_texts_are_refused()
    {
        Assert.Throws<ArgumentNullException>("prediction", () => s_plain.Score(null!, "a"));
        Assert.Throws<ArgumentNullException>("references", () => s_plain.Score("a", "b", null!));
        Assert.Throws<ArgumentException>("references", () => s_plain.Score("a"));
        Assert.Throws<ArgumentOutOfRangeException>(() => new RougeScorer(aggregation: (ReferenceAggregation)7));
    }

    private static void AssertAllEqual(JsonElement cases)
    {
        foreach (JsonElement line in cases.EnumerateArray())
        {
            string prediction = line.Text("prediction");
            AssertEqual(line.GetProperty("plain"), s_plain.Score(prediction, line.Text("reference")), prediction);
            AssertEqual(line.GetProperty("stemmed"), s_stemmed.Score(prediction, line.Text("reference")), prediction);
        }
    }

    private static void AssertEqual(JsonElement expected, RougeScores actual, string text)
    {
        RougeScore[] scores = All(actual);
        string[] names = ["rouge1", "rouge2", "rougeL", "rougeLsum"];
        for (int i = 0; i < names.Length; i++)
        {
            double[] numbers = expected.Numbers(names[i]);
            (double precision, double recall, double fMeasure) = (scores[i].Precision, scores[i].Recall, scores[i].FMeasure);
            bool isEqual = Math.Abs(precision - numbers[0]) <= 1e-9 && Math.Abs(recall - numbers[1]) <= 1e-9 && Math.Abs(fMeasure - numbers[2]) <= 1e-9;
            Assert.True(isEqual, $"'{text}': {names[i]} is {scores[i]}, not {string.Join(", ", numbers)}.");
        }
    }

    private static RougeScore[] All(RougeScores scores) => [scores.Rouge1, scores.Rouge2, scores.RougeL, scores.RougeLsum];

    private static string[] Words(string text, bool useStemmer, RougeTokenizer tokenizer = RougeTokenizer.Rouge)
    {
        TokenTable table = new();
        RougeTokens tokens = new();
        tokens.Read(text, new RougeRules(useStemmer, tokenizer, SplitSentences: false), table);
        return [.. tokens.Ids.ToArray().Select(id => table[id].ToString())];
    }
}
