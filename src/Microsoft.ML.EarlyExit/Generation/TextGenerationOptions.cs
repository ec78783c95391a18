using Microsoft.ML.EarlyExit.Evaluation.Text;
using Microsoft.ML.EarlyExit.Model;
using Microsoft.ML.EarlyExit.Runtime;

namespace Microsoft.ML.EarlyExit;

/// <summary>How text is generated. Immutable; every value is checked where it is given.</summary>
public sealed record TextGenerationOptions
{
    internal static class Defaults
    {
        public const int MaxNewTokens = 128;
        public const float RepetitionPenalty = 1f;
        public const int MaxInputTokens = 512;
        public const int BatchSize = 1;
    }

    private readonly string _prefix = "";
    private readonly int? _maxNewTokens;
    private readonly int? _minNewTokens;
    private readonly int _maxInputTokens = Defaults.MaxInputTokens;
    private readonly float? _repetitionPenalty;
    private readonly int? _noRepeatNgramSize;
    private readonly int _batchSize = Defaults.BatchSize;
    private readonly MissingTextHandling _missingTexts;
    private readonly int? _encoderMemoryMB;

    /// <summary>Put before every text, as T5's task names are (<c>"summarize: "</c>).</summary>
    /// <value>The default value is the empty string.</value>
    /// <exception cref="ArgumentNullException">The value is null.</exception>
    public string Prefix
    {
        get => _prefix;
        init => _prefix = value ?? throw new ArgumentNullException(nameof(Prefix));
    }

    /// <summary>After how many generated tokens a row ends at the latest, 1 to 1,048,576.</summary>
    /// <value>The default value is null: the checkpoint's own limit, else 128.</value>
    /// <exception cref="ArgumentOutOfRangeException">The value is outside its range.</exception>
    public int? MaxNewTokens
    {
        get => _maxNewTokens;
        init => _maxNewTokens = value is null ? null : InRange(value.Value, 1, T5ConfigurationLimits.TokenCount, nameof(MaxNewTokens));
    }

    /// <summary>Before how many generated tokens a row cannot end, 0 to 1,048,576: until then <c>&lt;/s&gt;</c> is never chosen.</summary>
    /// <value>The default value is null: the checkpoint's own, as far as <see cref="MaxNewTokens"/> allows it, else 0.</value>
    /// <exception cref="ArgumentOutOfRangeException">The value is outside its range.</exception>
    public int? MinNewTokens
    {
        get => _minNewTokens;
        init => _minNewTokens = value is null ? null : InRange(value.Value, 0, T5ConfigurationLimits.TokenCount, nameof(MinNewTokens));
    }

    /// <summary>How many encoder ids a row may have, <c>&lt;/s&gt;</c> and prefix included, 1 to 1,048,576.</summary>
    /// <value>The default value is 512.</value>
    /// <exception cref="ArgumentOutOfRangeException">The value is outside its range.</exception>
    public int MaxInputTokens
    {
        get => _maxInputTokens;
        init => _maxInputTokens = InRange(value, 1, T5ConfigurationLimits.TokenCount, nameof(MaxInputTokens));
    }

    /// <summary>
    /// What becomes of a longer input: true cuts it to its first <see cref="MaxInputTokens"/> - 1 ids and <c>&lt;/s&gt;</c>, and
    /// <see cref="GenerationResult.CutInputTokens"/> says so; false makes the row an error.
    /// </summary>
    /// <value>The default value is true.</value>
    public bool Truncate { get; init; } = true;

    /// <summary>
    /// Divides the positive and multiplies the negative logits of all ids the decoder has seen, the start token included (Hugging Face's definition);
    /// above 0; 1 changes nothing.
    /// </summary>
    /// <value>The default value is null: the checkpoint's own, else 1.</value>
    /// <exception cref="ArgumentOutOfRangeException">The value is not a finite number above 0.</exception>
    public float? RepetitionPenalty
    {
        get => _repetitionPenalty;
        init => _repetitionPenalty = value is null || (float.IsFinite(value.Value) && value > 0)
            ? value
            : throw new ArgumentOutOfRangeException(nameof(RepetitionPenalty), value, "RepetitionPenalty must be a finite number above 0.");
    }

    /// <summary>No run of so many ids occurs twice, the start token counted (Hugging Face's definition); 0 to 1,048,576, 0 allows all.</summary>
    /// <value>The default value is null: the checkpoint's own, else 0.</value>
    /// <exception cref="ArgumentOutOfRangeException">The value is outside its range.</exception>
    public int? NoRepeatNgramSize
    {
        get => _noRepeatNgramSize;
        init => _noRepeatNgramSize = value is null ? null : InRange(value.Value, 0, T5ConfigurationLimits.TokenCount, nameof(NoRepeatNgramSize));
    }

    /// <summary>What becomes of a row whose text is missing. An empty text is not missing, but ML.NET keeps the two apart only in memory: a field that a file
    /// leaves empty is read as a missing one.</summary>
    /// <value>The default value is <see cref="MissingTextHandling.Skip"/>: missing in, missing out.</value>
    /// <exception cref="ArgumentOutOfRangeException">The value is not one of the enumeration's.</exception>
    public MissingTextHandling MissingTexts
    {
        get => _missingTexts;
        init => _missingTexts = Enum.IsDefined(value)
            ? value
            : throw new ArgumentOutOfRangeException(nameof(MissingTexts), value, "MissingTexts must be Skip or UseEmptyText.");
    }

    /// <summary>
    /// How many rows are decoded side by side, 1 to 1,024. The result of a row does not depend on it, up to floating-point rounding, which can decide between
    /// two nearly equal tokens or a confidence very near the threshold; an adaptive threshold is the exception. With a
    /// vocabulary of more than two million tokens fewer are possible: their logits together are at most 2,147,483,647.
    /// </summary>
    /// <value>The default value is 1.</value>
    /// <exception cref="ArgumentOutOfRangeException">The value is outside its range.</exception>
    public int BatchSize
    {
        get => _batchSize;
        init => _batchSize = InRange(value, 1, 1024, nameof(BatchSize));
    }

    /// <summary>
    /// Memory that the encoder may take for one row, in MB of 1,048,576 bytes, 1 to 1,048,576: attention grows with the square of the length. A row whose
    /// estimate is above it has <see cref="StopReason.Error"/>. Where targets are scored it holds for the decoder over the target too.
    /// </summary>
    /// <value>The default value is null: half of the memory that the process may have.</value>
    /// <exception cref="ArgumentOutOfRangeException">The value is outside its range.</exception>
    public int? EncoderMemoryMB
    {
        get => _encoderMemoryMB;
        init => _encoderMemoryMB = value is null ? null : InRange(value.Value, 1, T5ConfigurationLimits.TokenCount, nameof(EncoderMemoryMB));
    }

    /// <summary>When a token exits the decoder.</summary>
    /// <value>The default value is null: every token runs all layers.</value>
    public ExitPolicy? Exit { get; init; }

    /// <summary>Whether <see cref="GenerationResult.Steps"/> lists every confidence evaluation and the operations of every token.</summary>
    /// <value>The default value is false.</value>
    public bool Trace { get; init; }

    /// <summary><see cref="EncoderMemoryMB"/> in bytes, or its default.</summary>
    internal long EncoderMemoryBytes => _encoderMemoryMB is { } megabytes ? (long)megabytes << 20 : RowMemory.DefaultLimit;

    /// <summary>
    /// The same with the checkpoint's own values where nothing is said, so that no field that a checkpoint has values for is null. What it asks for never
    /// contradicts what is said here: its minimum ends where the maximum is.
    /// </summary>
    internal TextGenerationOptions For(T5Configuration configuration)
    {
        int maxNewTokens = MaxNewTokens ?? configuration.MaxNewTokens ?? Defaults.MaxNewTokens;
        return this with
        {
            MaxNewTokens = maxNewTokens,
            MinNewTokens = MinNewTokens ?? Math.Min(configuration.MinNewTokens ?? 0, maxNewTokens),
            RepetitionPenalty = RepetitionPenalty ?? configuration.RepetitionPenalty ?? Defaults.RepetitionPenalty,
            NoRepeatNgramSize = NoRepeatNgramSize ?? configuration.NoRepeatNgramSize ?? 0,
        };
    }

    /// <summary>The values by their names, alike in every culture.</summary>
    /// <returns>One line of text.</returns>
    public override string ToString() => MemberText.Of(this);

    private static int InRange(int value, int least, int most, string name) =>
        value >= least && value <= most
            ? value
            : throw new ArgumentOutOfRangeException(name, value, $"{name} must be from {least} to {most}.");
}
