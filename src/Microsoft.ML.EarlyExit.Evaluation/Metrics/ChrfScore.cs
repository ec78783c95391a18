using Microsoft.ML.EarlyExit.Evaluation.Metrics;

namespace Microsoft.ML.EarlyExit;

/// <summary>chrF of a corpus, or chrF++, and what it is made of.</summary>
/// <remarks>Lists have a number for n-grams of 1 to 6 characters, then one for n-grams of 1 to so many words as words were asked for.</remarks>
public sealed class ChrfScore
{
    private readonly int _wordOrder;

    internal ChrfScore(double score, double precision, double recall, ReadOnlySpan<long> statistics, int? referenceCount)
    {
        Score = score;
        Precision = precision;
        Recall = recall;
        int orders = statistics.Length / 3;
        long[] predicted = new long[orders];
        long[] expected = new long[orders];
        long[] matches = new long[orders];
        for (int order = 0; order < orders; order++)
            (predicted[order], expected[order], matches[order]) = (statistics[3 * order], statistics[3 * order + 1], statistics[3 * order + 2]);
        PredictionTotals = predicted;
        ReferenceTotals = expected;
        Matches = matches;
        _wordOrder = orders - ChrfScorer.CharacterOrders;
        Signature = $"nrefs:{referenceCount?.ToString() ?? "var"}|case:mixed|eff:yes|nc:{ChrfScorer.CharacterOrders}|nw:{_wordOrder}|space:no"
            + $"|version:{CorpusStatistics.Version}";
    }

    /// <summary>chrF, 0 to 100: the mean of precision and recall in which recall counts twice as much.</summary>
    public double Score { get; }

    /// <summary>The mean percentage of the predictions' n-grams that references have too, 0 to 100, over the orders that both have n-grams of.</summary>
    public double Precision { get; }

    /// <summary>The mean percentage of the references' n-grams that predictions have too, 0 to 100, over the orders that both have n-grams of.</summary>
    public double Recall { get; }

    /// <summary>For each order, how many n-grams the predictions have; rows whose reference has none of an order are left out of it.</summary>
    public IReadOnlyList<long> PredictionTotals { get; }

    /// <summary>For each order, how many n-grams the references have, of each row the one that is best for it.</summary>
    public IReadOnlyList<long> ReferenceTotals { get; }

    /// <summary>For each order, how many n-grams both have.</summary>
    public IReadOnlyList<long> Matches { get; }

    /// <summary>How the score was computed, in sacrebleu's words, to be quoted with it; the version is the release of sacrebleu that it equals.</summary>
    public string Signature { get; }

    /// <summary>The score with its signature, as sacrebleu prints it.</summary>
    /// <returns>For instance <c>chrF2|nrefs:1|…|version:2.6.0 = 57.06</c>; a "+" behind chrF2 for each order of words.</returns>
    public override string ToString() => $"chrF2{new string('+', _wordOrder)}|{Signature} = {CorpusStatistics.Format(Score, 2)}";
}
