using Microsoft.ML.EarlyExit.Evaluation.Metrics;

namespace Microsoft.ML.EarlyExit;

/// <summary>ROUGE-1, ROUGE-2, ROUGE-L and ROUGE-Lsum, by default equal to the Python package rouge_score 0.1.2. Immutable and thread-safe.</summary>
/// <remarks>
/// <para>
/// By default words are runs of the letters a to z and digits after lower-casing; everything else separates them, so that "café" is the word "caf": of texts in
/// other scripts nothing is left, and their scores are 0, also against themselves. <see cref="RougeTokenizer.Unicode"/> takes words of any script. Source:
/// C.-Y. Lin, "ROUGE: A Package for Automatic Evaluation of Summaries", 2004.
/// </para>
/// <para>
/// On texts of one line ROUGE-Lsum is ROUGE-L. Lines are what "\n" separates, or sentences where they are split: rouge_score's <c>split_summaries</c> takes
/// NLTK's sentences, which differ.
/// </para>
/// <para>
/// ROUGE-L and ROUGE-Lsum take time that grows with the product of the two texts' lengths, a 64th of it each step; memory stays far below.
/// </para>
/// </remarks>
public sealed class RougeScorer
{
    [ThreadStatic]
    private static RougeScratch? t_scratch;

    private readonly RougeRules _rules;
    private readonly ReferenceAggregation _aggregation;

    /// <summary>Makes a scorer.</summary>
    /// <param name="useStemmer">
    /// Whether words of more than three letters are compared by their stem, as NLTK's PorterStemmer has it in its default mode. False by default, as in
    /// rouge_score. The stemmer knows English only: of Unicode words it takes those of ASCII letters and digits, and leaves the others as they are.
    /// </param>
    /// <param name="aggregation">What is made of the scores against several references: by default the best of each type.</param>
    /// <param name="tokenizer">What words are: by default what they are to rouge_score.</param>
    /// <param name="splitSentences">
    /// Whether ROUGE-Lsum takes each sentence for a line. A sentence ends at <c>. ! ? …</c> and their like in other scripts, with the quotation marks and
    /// brackets that close behind them, where white space and then no lower-case letter follows; at <c>。 ！ ？</c> whatever follows. So "3.5" and "e.g. this" are
    /// not cut, nor is an initial ("J. Smith"); but "Mr. Smith" is: abbreviations are not known.
    /// </param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="aggregation"/> or <paramref name="tokenizer"/> is none of its enumeration's.</exception>
    public RougeScorer(
        bool useStemmer = false, ReferenceAggregation aggregation = ReferenceAggregation.Best, RougeTokenizer tokenizer = RougeTokenizer.Rouge,
        bool splitSentences = false)
    {
        if (!Enum.IsDefined(aggregation))
            throw new ArgumentOutOfRangeException(nameof(aggregation), aggregation, "The aggregation is neither Best nor Average.");
        if (!Enum.IsDefined(tokenizer))
            throw new ArgumentOutOfRangeException(nameof(tokenizer), tokenizer, "The tokenizer is neither Rouge nor Unicode.");
        _rules = new(useStemmer, tokenizer, splitSentences);
        _aggregation = aggregation;
    }

    /// <summary>Scores a prediction against one reference or several.</summary>
    /// <param name="prediction">The text that was generated; may be empty.</param>
    /// <param name="references">At least one text it should be like; any may be empty.</param>
    /// <returns>Precision, recall and F-measure of each type; all 0 where a text has no words.</returns>
    /// <exception cref="ArgumentNullException">The prediction or a reference is null.</exception>
    /// <exception cref="ArgumentException">There is no reference.</exception>
    public RougeScores Score(string prediction, params ReadOnlySpan<string> references) => Score(prediction, references, CancellationToken.None);

    /// <summary>Scores a prediction against one reference or several, and ends early where that is asked for: texts of millions of words take
    /// minutes.</summary>
    /// <param name="prediction">The text that was generated; may be empty.</param>
    /// <param name="references">At least one text it should be like; any may be empty.</param>
    /// <param name="cancellationToken">Ends the call within a fraction of a second.</param>
    /// <returns>Precision, recall and F-measure of each type; all 0 where a text has no words.</returns>
    /// <exception cref="ArgumentNullException">The prediction or a reference is null.</exception>
    /// <exception cref="ArgumentException">There is no reference.</exception>
    /// <exception cref="OperationCanceledException">Cancellation was requested.</exception>
    public RougeScores Score(string prediction, ReadOnlySpan<string> references, CancellationToken cancellationToken)
    {
        MetricArguments.Check(prediction, references);
        RougeScratch scratch = t_scratch ??= new();
        scratch.ReadPrediction(prediction, _rules);
        RougeScores scores = scratch.ScoreAgainst(references[0], _rules, cancellationToken);
        for (int i = 1; i < references.Length; i++)
        {
            RougeScores next = scratch.ScoreAgainst(references[i], _rules, cancellationToken);
            scores = new(
                Combine(scores.Rouge1, next.Rouge1), Combine(scores.Rouge2, next.Rouge2),
                Combine(scores.RougeL, next.RougeL), Combine(scores.RougeLsum, next.RougeLsum));
        }

        if (scratch.Capacity > MetricBuffers.LargestKept)
            t_scratch = null;
        if (_aggregation == ReferenceAggregation.Best || references.Length == 1)
            return scores;
        int count = references.Length;
        return new(Divide(scores.Rouge1, count), Divide(scores.Rouge2, count), Divide(scores.RougeL, count), Divide(scores.RougeLsum, count));
    }

    /// <summary>How texts are cut.</summary>
    internal RougeRules Rules => _rules;

    private RougeScore Combine(RougeScore one, RougeScore other) => _aggregation == ReferenceAggregation.Average
        ? new(one.Precision + other.Precision, one.Recall + other.Recall, one.FMeasure + other.FMeasure)
        : other.FMeasure > one.FMeasure ? other : one;

    private static RougeScore Divide(RougeScore sum, int count) => new(sum.Precision / count, sum.Recall / count, sum.FMeasure / count);
}
