using Microsoft.ML.EarlyExit.Evaluation.Metrics;

namespace Microsoft.ML.EarlyExit;

/// <summary>BLEU of a corpus and what it is made of.</summary>
public sealed class BleuScore
{
    internal BleuScore(
        double score, double[] precisions, ReadOnlySpan<long> statistics, double brevityPenalty, int? referenceCount, BleuTokenizer tokenizer, bool lowercase)
    {
        Score = score;
        Precisions = precisions;
        BrevityPenalty = brevityPenalty;
        PredictionLength = statistics[0];
        ReferenceLength = statistics[1];
        Matches = statistics.Slice(2, precisions.Length).ToArray();
        Totals = statistics.Slice(2 + precisions.Length, precisions.Length).ToArray();
        Signature = $"nrefs:{referenceCount?.ToString() ?? "var"}|case:{(lowercase ? "lc" : "mixed")}|eff:no|tok:{BleuScorer.Name(tokenizer)}|smooth:exp"
            + $"|version:{CorpusStatistics.Version}";
    }

    /// <summary>BLEU, 0 to 100: the geometric mean of the precisions times the brevity penalty.</summary>
    public double Score { get; }

    /// <summary>For n-grams of 1 to 4 tokens, the percentage of the predictions' that references have too.</summary>
    /// <remarks>Smoothed where that would be 0; 0 where nothing matches at all, and for orders from the first on that no prediction is long enough
    /// for.</remarks>
    public IReadOnlyList<double> Precisions { get; }

    /// <summary>What short predictions are multiplied by, 0 to 1; 1 where they are not shorter than the references.</summary>
    public double BrevityPenalty { get; }

    /// <summary>Tokens of all predictions.</summary>
    public long PredictionLength { get; }

    /// <summary>Tokens of all references, of each row the one whose length is closest to the prediction's, the shorter of two equally close.</summary>
    public long ReferenceLength { get; }

    /// <summary>For n-grams of 1 to 4 tokens, how many of the predictions' references have too.</summary>
    public IReadOnlyList<long> Matches { get; }

    /// <summary>For n-grams of 1 to 4 tokens, how many the predictions have.</summary>
    public IReadOnlyList<long> Totals { get; }

    /// <summary>How the score was computed, in sacrebleu's words, to be quoted with it; the version is the release of sacrebleu that it equals.</summary>
    public string Signature { get; }

    /// <summary>The score with its signature and parts on one line, as sacrebleu prints it.</summary>
    /// <returns>For instance <c>BLEU|nrefs:1|…|version:2.6.0 = 28.35 63.9/37.3/22.4/14.2 (BP = 0.962 ratio = 0.962 hyp_len = 3965 ref_len =
    /// 4120)</c>.</returns>
    public override string ToString()
    {
        string precisions = string.Join('/', Precisions.Select(precision => CorpusStatistics.Format(precision, 1)));
        double ratio = ReferenceLength == 0 ? 0 : (double)PredictionLength / ReferenceLength;
        return $"BLEU|{Signature} = {CorpusStatistics.Format(Score, 2)} {precisions} (BP = {CorpusStatistics.Format(BrevityPenalty, 3)} "
            + $"ratio = {CorpusStatistics.Format(ratio, 3)} hyp_len = {PredictionLength} ref_len = {ReferenceLength})";
    }
}
