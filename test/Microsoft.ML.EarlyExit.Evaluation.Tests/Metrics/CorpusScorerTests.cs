using System.Text.Json;
using FsCheck;
using FsCheck.Fluent;
using FsCheck.Xunit;
using Microsoft.ML.EarlyExit.Evaluation.Metrics;

namespace Microsoft.ML.EarlyExit.Evaluation.Tests;

/// <summary>BLEU and chrF.</summary>
public sealed class CorpusScorerTests
{
    private const double Tolerance = 1e-9;

    [Theory]
    [InlineData("e2e.json", 7)]
    [InlineData("own.json", 77)]
    public void Scores_parts_and_signatures_equal_sacrebleu(string file, int count)
    {
        JsonElement corpora = MetricFixtures.Read("sacrebleu", file);
        Assert.Equal(count, corpora.GetArrayLength());
        foreach (JsonElement corpus in corpora.EnumerateArray())
        {
            (string[] predictions, string[][] references) = Rows(corpus);
            JsonElement expected = corpus.GetProperty("bleu");
            BleuScore bleu = BleuScorer.Score(predictions, references);
            Assert.Equal(expected.GetProperty("score").GetDouble(), bleu.Score, Tolerance);
            double[] precisions = expected.Numbers("precisions");
            Assert.All(precisions, (precision, order) => Assert.Equal(precision, bleu.Precisions[order], Tolerance));
            Assert.Equal(expected.GetProperty("brevity_penalty").GetDouble(), bleu.BrevityPenalty, Tolerance);
            Assert.Equal(expected.GetProperty("prediction_length").GetInt64(), bleu.PredictionLength);
            Assert.Equal(expected.GetProperty("reference_length").GetInt64(), bleu.ReferenceLength);
            Assert.Equal(Counts(expected, "matches"), bleu.Matches);
            Assert.Equal(Counts(expected, "totals"), bleu.Totals);
            Assert.Equal(expected.Text("signature"), bleu.Signature);
            Assert.Equal(expected.Text("text"), bleu.ToString());

            expected = corpus.GetProperty("chrf");
            ChrfScore chrf = ChrfScorer.Score(predictions, references);
            Assert.Equal(expected.GetProperty("score").GetDouble(), chrf.Score, Tolerance);
            Assert.Equal(expected.Text("signature"), chrf.Signature);
            Assert.Equal(expected.Text("text"), chrf.ToString());
        }
    }

    [Theory]
    [InlineData("e2e.json")]
    [InlineData("own.json")]
    public void Numbers_of_each_row_equal_sacrebleu(string file)
    {
        foreach (JsonElement corpus in MetricFixtures.Read("sacrebleu", file).EnumerateArray())
        {
            foreach (JsonElement row in corpus.GetProperty("rows").EnumerateArray())
            {
                string[] references = row.Texts("references");
                Assert.Equal(Counts(row, "bleu"), Bleu(row.Text("prediction"), references));
                Assert.Equal(Counts(row, "chrf"), Chrf(row.Text("prediction"), references));
            }
        }
    }

    [Fact]
    public void Tokens_equal_sacrebleu()
    {
        BleuTokens tokenizer = new();
        foreach (JsonElement line in MetricFixtures.Read("sacrebleu", "tokens.json").EnumerateArray())
            Assert.Equal(line.Texts("tokens"), Tokens(tokenizer, line.Text("text"), BleuTokenizer.V13a, lowercase: false));
        JsonElement lines = MetricFixtures.Read("sacrebleu", "options.json").GetProperty("tokens");
        Assert.Equal(720, lines.GetArrayLength());
        foreach (JsonElement line in lines.EnumerateArray())
            Assert.Equal(line.Texts("tokens"), Tokens(tokenizer, line.Text("text"), Tokenizer(line), line.GetProperty("lowercase").GetBoolean()));
    }

    [Fact]
    public void Scores_and_signatures_with_other_tokenizers_lower_case_and_words_equal_sacrebleu()
    {
        JsonElement options = MetricFixtures.Read("sacrebleu", "options.json");
        Dictionary<string, (string[] Predictions, string[][] References)> corpora =
            options.GetProperty("corpora").EnumerateArray().ToDictionary(corpus => corpus.Text("name"), Rows);
        Assert.Equal((30, 9), (options.GetProperty("bleu").GetArrayLength(), options.GetProperty("chrf").GetArrayLength()));
        foreach (JsonElement expected in options.GetProperty("bleu").EnumerateArray())
        {
            (string[] predictions, string[][] references) = corpora[expected.Text("corpus")];
            BleuScore bleu = BleuScorer.Score(predictions, references, Tokenizer(expected), expected.GetProperty("lowercase").GetBoolean());
            Assert.Equal(expected.GetProperty("score").GetDouble(), bleu.Score, Tolerance);
            Assert.Equal(expected.Text("text"), bleu.ToString());
        }

        foreach (JsonElement expected in options.GetProperty("chrf").EnumerateArray())
        {
            int wordOrder = expected.GetProperty("wordOrder").GetInt32();
            (string[] predictions, string[][] references) = corpora[expected.Text("corpus")];
            ChrfScore chrf = ChrfScorer.Score(predictions, references, wordOrder);
            Assert.Equal(expected.GetProperty("score").GetDouble(), chrf.Score, Tolerance);
            Assert.Equal(expected.Text("text"), chrf.ToString());
            Assert.Equal(6 + wordOrder, chrf.Matches.Count);
            long[] row = new long[3 * (6 + wordOrder)];
            foreach ((int index, JsonElement counts) in expected.GetProperty("rows").EnumerateArray().Index())
            {
                ChrfScorer.Count(predictions[index], references[index], row);
                Assert.Equal(counts.EnumerateArray().Select(count => count.GetInt64()), row);
            }
        }

        Assert.Throws<ArgumentOutOfRangeException>("tokenizer", () => BleuScorer.Score(["a"], [["a"]], (BleuTokenizer)5));
        Assert.Throws<ArgumentOutOfRangeException>("wordOrder", () => ChrfScorer.Score(["a"], [["a"]], 3));
        Assert.Throws<ArgumentOutOfRangeException>("wordOrder", () => ChrfScorer.Score(["a"], [["a"]], -1));
    }

    [Property]
    public Property A_corpus_against_itself_scores_100_where_a_text_has_four_tokens() => Prop.ForAll(AnyTexts.Some, texts =>
    {
        string[] corpus = [.. texts, "four tokens or more"];
        string[][] references = [.. corpus.Select(text => new[] { text })];
        Assert.Equal(100, BleuScorer.Score(corpus, references).Score, Tolerance);
        Assert.Equal(100, ChrfScorer.Score(corpus, references).Score, Tolerance);
    });

    [Property]
    public Property Scores_come_from_rows_numbers_added_up_in_any_order() => Prop.ForAll(AnyTexts.Some, AnyTexts.Some, (predictions, references) =>
    {
        string[][] rows = [.. predictions.Select((_, row) => references[(row % references.Length)..])];
        long[] bleu = new long[BleuScorer.StatisticCount];
        long[] chrf = new long[ChrfScorer.StatisticCount];
        for (int row = predictions.Length - 1; row >= 0; row--)
        {
            bleu = [.. bleu.Zip(Bleu(predictions[row], rows[row]), (sum, number) => sum + number)];
            chrf = [.. chrf.Zip(Chrf(predictions[row], rows[row]), (sum, number) => sum + number)];
        }

        Assert.Equal(BleuScorer.Score(predictions, rows).Score, BleuScorer.Score(bleu));
        Assert.Equal(ChrfScorer.Score(predictions, rows).Score, ChrfScorer.Score(chrf));
        Assert.InRange(BleuScorer.Score(bleu), 0, 100 + Tolerance);
        Assert.InRange(ChrfScorer.Score(chrf), 0, 100 + Tolerance);
    });

    [Property]
    public Property One_more_reference_never_lowers_a_row() => Prop.ForAll(AnyTexts.One, AnyTexts.Some, AnyTexts.One, (prediction, references, more) =>
    {
        string[] all = [.. references, more];
        long[] fewer = Bleu(prediction, references);
        long[] best = Bleu(prediction, all);
        for (int order = 0; order < 4; order++)
            Assert.InRange(best[2 + order], fewer[2 + order], fewer[6 + order]);
        Assert.True(ChrfScorer.Score(Chrf(prediction, all)) >= ChrfScorer.Score(Chrf(prediction, references)));
    });

    [Fact]
    public void No_text_is_too_bad()
    {
        string[] texts = MetricFixtures.HostileTexts;
        foreach (string prediction in texts)
        {
            Assert.InRange(BleuScorer.Score(Bleu(prediction, texts)), 0, 100 + Tolerance);
            Assert.InRange(ChrfScorer.Score(Chrf(prediction, texts)), 0, 100 + Tolerance);
            Assert.InRange(ChrfScorer.Score([prediction], [texts], wordOrder: 2).Score, 0, 100 + Tolerance);
            foreach (BleuTokenizer tokenizer in Enum.GetValues<BleuTokenizer>())
                Assert.InRange(BleuScorer.Score([prediction], [texts], tokenizer, lowercase: true).Score, 0, 100 + Tolerance);
        }
    }

    [Fact]
    public void A_million_chars_take_a_few_hundred_megabytes_at_most()
    {
        Random random = new(1);
        string text = string.Create(1_000_000, random, static (chars, random) =>
        {
            for (int i = 0; i < chars.Length; i++)
                chars[i] = i % 5 == 4 ? ' ' : (char)('a' + random.Next(26));
        });
        long before = GC.GetAllocatedBytesForCurrentThread();
        Assert.Equal([200_000, 200_000, 200_000, 199_999, 199_998, 199_997, 200_000, 199_999, 199_998, 199_997], Bleu(text, [text]));
        Assert.Equal(100, ChrfScorer.Score(Chrf(text, [text])));
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 400_000_000);
    }

    [Fact]
    public void Several_threads_get_the_same_numbers()
    {
        JsonElement[] rows = [.. MetricFixtures.Read("sacrebleu", "e2e.json")[2].GetProperty("rows").EnumerateArray()];
        Parallel.For(0, 20 * rows.Length, new ParallelOptions { MaxDegreeOfParallelism = 8 }, i =>
        {
            JsonElement row = rows[i % rows.Length];
            Assert.Equal(Counts(row, "bleu"), Bleu(row.Text("prediction"), row.Texts("references")));
            Assert.Equal(Counts(row, "chrf"), Chrf(row.Text("prediction"), row.Texts("references")));
        });
    }

    [Fact]
    public void Missing_texts_and_rows_are_refused()
    {
        Assert.Throws<ArgumentNullException>("predictions", () => BleuScorer.Score(null!, [["a"]]));
        Assert.Throws<ArgumentNullException>("references", () => ChrfScorer.Score(["a"], null!));
        Assert.Throws<ArgumentNullException>("references", () => BleuScorer.Score(["a"], (IReadOnlyList<string>[])[null!]));
        Assert.Throws<ArgumentNullException>("references", () => ChrfScorer.Score(["a"], [["b", null!]]));
        Assert.Throws<ArgumentNullException>("prediction", () => BleuScorer.Score([null!], [["b"]]));
        Assert.Throws<ArgumentException>(() => ChrfScorer.Score(["a"], [[]]));
        Assert.Throws<ArgumentException>(() => BleuScorer.Score([], []));
        ArgumentException error = Assert.Throws<ArgumentException>(() => BleuScorer.Score(["a", "b"], [["a"]]));
        Assert.StartsWith("There are 1 rows of references", error.Message);
    }

    private static (string[] Predictions, string[][] References) Rows(JsonElement corpus)
    {
        JsonElement[] rows = [.. corpus.GetProperty("rows").EnumerateArray()];
        return ([.. rows.Select(row => row.Text("prediction"))], [.. rows.Select(row => row.Texts("references"))]);
    }

    private static BleuTokenizer Tokenizer(JsonElement line) => BleuScorer.Tokenizers.Single(pair => pair.Name == line.Text("tokenize")).Value;

    private static List<string> Tokens(BleuTokens tokenizer, string text, BleuTokenizer kind, bool lowercase)
    {
        List<string> tokens = [];
        string current = "";
        foreach (char c in $"{tokenizer.Tokenize(text, kind, lowercase)} ")
        {
            if (!PythonText.IsSpace(c))
            {
                current += c;
            }
            else if (current.Length > 0)
            {
                tokens.Add(current);
                current = "";
            }
        }

        return tokens;
    }

    private static long[] Counts(JsonElement element, string name) => [.. element.GetProperty(name).EnumerateArray().Select(count => count.GetInt64())];

    private static long[] Bleu(string prediction, string[] references)
    {
        long[] statistics = new long[BleuScorer.StatisticCount];
        BleuScorer.Count(prediction, references, statistics);
        return statistics;
    }

    private static long[] Chrf(string prediction, string[] references)
    {
        long[] statistics = new long[ChrfScorer.StatisticCount];
        ChrfScorer.Count(prediction, references, statistics);
        return statistics;
    }
}
