namespace Microsoft.ML.EarlyExit;

/// <summary>
/// What a wrong exit costs: a number in [0, 1] for every prompt, whose mean over prompts a calibration bounds. Immutable and thread-safe.
/// </summary>
/// <remarks>
/// Consistency losses compare the text with the full model's, and need no references. Risk losses compare both with references: <c>max(0, R(early) -
/// R(full))</c>, R being 1 less the metric; they forgive a text that differs from the full model's and is no worse. Where both texts are the same, every loss
/// of these is 0.
/// </remarks>
public sealed class CalibrationLoss
{
    private readonly Func<CalibrationOutcome, double> _compute;

    private CalibrationLoss(string name, bool needsReferences, Func<CalibrationOutcome, double> compute)
    {
        Name = name;
        NeedsReferences = needsReferences;
        _compute = compute;
    }

    /// <summary>1 less ROUGE-L's F-measure, the full model's text being the reference.</summary>
    /// <remarks>Words are rouge_score's, which has the letters a to z only; <see cref="WithRougeTokenizer"/> takes others.</remarks>
    public static CalibrationLoss RougeL { get; } = Rouge("rougeL", isRisk: false, EarlyExit.RougeTokenizer.Rouge);

    /// <summary>1 less SQuAD's F1, the full model's text being the answer.</summary>
    /// <remarks>SQuAD splits at spaces. Where texts are written without them, an answer is one word, and this is <see cref="ExactMatch"/>; a certificate then
    /// says so.</remarks>
    public static CalibrationLoss TokenF1 { get; } = Consistency("tokenF1", (text, references) => SquadScorer.Score(text, references).F1, splitsAtSpaces: true);

    /// <summary>1 where the text, normalised as SQuAD does, is not the full model's; else 0.</summary>
    public static CalibrationLoss ExactMatch { get; } = Consistency("exactMatch", (text, references) => SquadScorer.Score(text, references).ExactMatch);

    /// <summary>How much less the text's ROUGE-L is than that of the full model's text, against the references, the best of which counts.</summary>
    /// <remarks>Words are rouge_score's, which has the letters a to z only; <see cref="WithRougeTokenizer"/> takes others.</remarks>
    public static CalibrationLoss RougeLRisk { get; } = Rouge("rougeLRisk", isRisk: true, EarlyExit.RougeTokenizer.Rouge);

    /// <summary>How much less the text's F1 is than that of the full model's text, against the answers, the best of which counts.</summary>
    /// <remarks>SQuAD splits at spaces. Where texts are written without them, an answer is one word, and this is <see cref="ExactMatchRisk"/>; a certificate
    /// then says so.</remarks>
    public static CalibrationLoss TokenF1Risk { get; } =
        Risk("tokenF1Risk", (text, references) => SquadScorer.Score(text, references).F1, splitsAtSpaces: true);

    /// <summary>1 where the full model's text matches an answer exactly and the text does not; else 0.</summary>
    public static CalibrationLoss ExactMatchRisk { get; } = Risk("exactMatchRisk", (text, references) => SquadScorer.Score(text, references).ExactMatch);

    /// <summary>1 less chrF (<see cref="ChrfScorer"/>, as a share of 1) of the text alone, the full model's being the reference. It needs no words, and so
    /// takes any script.</summary>
    public static CalibrationLoss Chrf { get; } = Consistency("chrf", ChrfShare);

    /// <summary>How much less the text's chrF is, as a share of 1, than that of the full model's text, against the references, the best of which
    /// counts.</summary>
    public static CalibrationLoss ChrfRisk { get; } = Risk("chrfRisk", ChrfShare);

    /// <summary>The library's losses.</summary>
    internal static IReadOnlyList<CalibrationLoss> All { get; } = [RougeL, TokenF1, ExactMatch, Chrf, RougeLRisk, TokenF1Risk, ExactMatchRisk, ChrfRisk];

    /// <summary>What certificates call it.</summary>
    public string Name { get; }

    /// <summary>Whether prompts must have references.</summary>
    public bool NeedsReferences { get; }

    /// <summary>What words are to the loss; null where it is not made of ROUGE.</summary>
    /// <value><see cref="RougeTokenizer.Rouge"/> for the losses of ROUGE, unless <see cref="WithRougeTokenizer"/> gave another.</value>
    public RougeTokenizer? RougeTokenizer { get; private init; }

    /// <summary>Its name, and its words where they are not the usual ones.</summary>
    internal string Description => RougeTokenizer == EarlyExit.RougeTokenizer.Unicode ? $"{Name} (Unicode words)" : Name;

    /// <summary>Whether words are what stands between spaces.</summary>
    internal bool SplitsAtSpaces { get; private init; }

    /// <summary>The most that any text can lose: what the full model's text scores. Null where the loss does not compare scores.</summary>
    internal Func<CalibrationOutcome, double>? FullScore { get; private init; }

    /// <summary>The same loss with other words.</summary>
    /// <param name="tokenizer">What words are. Calibrations refuse texts of which more than 1 % of the letters belong to none.</param>
    /// <returns>The loss; certificates keep the tokenizer beside its name.</returns>
    /// <exception cref="ArgumentOutOfRangeException">The tokenizer is none of the enumeration's.</exception>
    /// <exception cref="InvalidOperationException">The loss is not made of ROUGE.</exception>
    public CalibrationLoss WithRougeTokenizer(RougeTokenizer tokenizer)
    {
        if (!Enum.IsDefined(tokenizer))
            throw new ArgumentOutOfRangeException(nameof(tokenizer), tokenizer, "The tokenizer is neither Rouge nor Unicode.");
        if (RougeTokenizer is null)
            throw new InvalidOperationException($"The loss {Name} is not made of ROUGE and has no tokenizer to choose.");
        return tokenizer == RougeTokenizer ? this : Rouge(Name, NeedsReferences, tokenizer);
    }

    /// <summary>The loss's name.</summary>
    /// <returns><see cref="Name"/>.</returns>
    public override string ToString() => Name;

    /// <summary>A loss of the caller's own.</summary>
    /// <param name="name">What certificates call it; not empty.</param>
    /// <param name="compute">The loss of one prompt, in [0, 1]: anything else, NaN included, is an error that names the row. It is called on one thread at a
    /// time, once for every prompt and candidate whose text is not the one before.</param>
    /// <param name="needsReferences">Whether prompts must have references.</param>
    /// <returns>The loss.</returns>
    /// <exception cref="ArgumentException">The name is null or empty.</exception>
    /// <exception cref="ArgumentNullException"><paramref name="compute"/> is null.</exception>
    public static CalibrationLoss Custom(string name, Func<CalibrationOutcome, double> compute, bool needsReferences = false)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(name);
        ArgumentNullException.ThrowIfNull(compute);
        return new CalibrationLoss(name, needsReferences, compute);
    }

    /// <summary>The loss of one prompt.</summary>
    /// <param name="outcome">What was generated for it.</param>
    /// <returns>A number in [0, 1], unless the loss is a caller's own and gives another.</returns>
    public double Compute(CalibrationOutcome outcome) => _compute(outcome);

    private delegate double Metric(string text, ReadOnlySpan<string> references);

    private static CalibrationLoss Rouge(string name, bool isRisk, RougeTokenizer tokenizer)
    {
        var scorer = new RougeScorer(tokenizer: tokenizer);
        return isRisk ? Risk(name, Score, tokenizer) : Consistency(name, Score, tokenizer);

        double Score(string text, ReadOnlySpan<string> references) => scorer.Score(text, references).RougeL.FMeasure;
    }

    private static double ChrfShare(string text, ReadOnlySpan<string> references) => ChrfScorer.ScoreAlone(text, references) / 100;

    // Texts without a single token score 0 even against themselves, and would make the full model differ from itself.
    private static CalibrationLoss Consistency(string name, Metric metric, RougeTokenizer? tokenizer = null, bool splitsAtSpaces = false) => new(
        name, needsReferences: false,
        outcome => outcome.EarlyText == outcome.FullText ? 0 : 1 - metric(outcome.EarlyText, [outcome.FullText]))
    {
        RougeTokenizer = tokenizer,
        SplitsAtSpaces = splitsAtSpaces,
    };

    private static CalibrationLoss Risk(string name, Metric metric, RougeTokenizer? tokenizer = null, bool splitsAtSpaces = false) => new(
        name, needsReferences: true,
        outcome =>
        {
            if (outcome.EarlyText == outcome.FullText)
                return 0;
            ReadOnlySpan<string> references = outcome.References as string[] ?? [.. outcome.References];
            return Math.Max(0, metric(outcome.FullText, references) - metric(outcome.EarlyText, references));
        })
    {
        RougeTokenizer = tokenizer,
        SplitsAtSpaces = splitsAtSpaces,
        FullScore = outcome => metric(outcome.FullText, outcome.References as string[] ?? [.. outcome.References]),
    };
}
