using System.Text.Json;
using FsCheck;
using FsCheck.Fluent;
using FsCheck.Xunit;

namespace Microsoft.ML.EarlyExit.Evaluation.Tests;

public sealed class SquadScorerTests
{
    [Theory]
    [InlineData("cases", 2000)]
    [InlineData("edge_cases", 304)]
    public void Equals_the_published_script(string set, int count)
    {
        JsonElement cases = MetricFixtures.Read("squad", "squad.json").GetProperty(set);
        Assert.Equal(count, cases.GetArrayLength());
        foreach (JsonElement line in cases.EnumerateArray())
        {
            string prediction = line.Text("prediction");
            Assert.Equal(line.Text("normalized"), SquadScorer.Normalize(prediction));
            SquadScore score = SquadScorer.Score(prediction, line.Texts("answers"));
            Assert.True(line.GetProperty("exact_match").GetDouble() == score.ExactMatch, $"Exact match of '{prediction}' with {line.GetProperty("answers")}");
            Assert.True(Math.Abs(line.GetProperty("f1").GetDouble() - score.F1) <= 1e-9, $"F1 of '{prediction}' with {line.GetProperty("answers")}");
        }
    }

    [Fact]
    public void Means_over_the_questions_are_the_published_figures()
    {
        JsonElement file = MetricFixtures.Read("squad", "squad.json");
        SquadScore[] scores = [.. file.GetProperty("cases").EnumerateArray().Select(line => SquadScorer.Score(line.Text("prediction"), line.Texts("answers")))];
        JsonElement corpus = file.GetProperty("corpus");
        Assert.Equal(corpus.GetProperty("exact_match").GetDouble(), 100 * scores.Average(score => score.ExactMatch), 1e-7);
        Assert.Equal(corpus.GetProperty("f1").GetDouble(), 100 * scores.Average(score => score.F1), 1e-7);
    }

    [Property]
    public Property Scores_are_in_the_unit_interval_and_more_answers_never_lower_them() =>
        Prop.ForAll(AnyTexts.One, AnyTexts.Some, AnyTexts.One, (prediction, answers, more) =>
        {
            SquadScore fewer = SquadScorer.Score(prediction, answers);
            SquadScore best = SquadScorer.Score(prediction, [.. answers, more]);
            Assert.InRange(fewer.F1, 0, best.F1);
            Assert.InRange(best.F1, 0, 1);
            Assert.True(best.ExactMatch >= fewer.ExactMatch);
        });

    [Property]
    public Property A_text_is_its_own_answer() => Prop.ForAll(AnyTexts.One, text =>
    {
        SquadScore score = SquadScorer.Score(text, text);
        Assert.Equal(1, score.ExactMatch);
        Assert.Equal(SquadScorer.Normalize(text).Length > 0 ? 1 : 0, score.F1);
    });

    [Fact]
    public void No_text_is_too_bad()
    {
        foreach (string prediction in MetricFixtures.HostileTexts)
        {
            foreach (string answer in MetricFixtures.HostileTexts)
                Assert.InRange(SquadScorer.Score(prediction, answer).F1, 0, 1);
        }
    }

    [Fact]
    public void Several_threads_get_the_same_scores()
    {
        JsonElement[] cases = [.. MetricFixtures.Read("squad", "squad.json").GetProperty("edge_cases").EnumerateArray()];
        SquadScore[] expected = [.. cases.Select(line => SquadScorer.Score(line.Text("prediction"), line.Texts("answers")))];
        Parallel.For(0, 16 * cases.Length, new ParallelOptions { MaxDegreeOfParallelism = 8 }, i =>
        {
            JsonElement line = cases[i % cases.Length];
            Assert.Equal(expected[i % cases.Length], SquadScorer.Score(line.Text("prediction"), line.Texts("answers")));
        });
    }

    [Fact]
    public void Missing_texts_are_refused()
    {
        Assert.Throws<ArgumentNullException>("prediction", () => SquadScorer.Score(null!, "a"));
        Assert.Throws<ArgumentNullException>(() => SquadScorer.Score("a", "b", null!));
        Assert.Throws<ArgumentException>(() => SquadScorer.Score("a"));
    }
}
