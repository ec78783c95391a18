using Microsoft.ML.EarlyExit.Evaluation.Text;

namespace Microsoft.ML.EarlyExit;

/// <summary>How an exit classifier is trained. Immutable; every value is checked where it is given, and what depends on the model when training
/// begins.</summary>
public sealed record ExitClassifierOptions
{
    internal static class Defaults
    {
        public const int MinimumLayer = 1;
        public const double HeldOutFraction = 0.1;
        public const int Seed = 0;
    }

    private readonly int _minimumLayer = Defaults.MinimumLayer;
    private readonly double _heldOutFraction = Defaults.HeldOutFraction;
    private readonly int? _maxTokensPerRow;

    /// <summary>The model bundle's folder.</summary>
    /// <value>The default value is null: <see cref="Model"/> is given instead.</value>
    public string? ModelPath { get; init; }

    /// <summary>A model that is loaded already. It stays the caller's.</summary>
    /// <value>The default value is null: <see cref="ModelPath"/> is given instead.</value>
    public EarlyExitModel? Model { get; init; }

    /// <summary>How <see cref="ModelPath"/> is loaded; without a GPU of its own, the context's holds.</summary>
    /// <value>The default value is null: the defaults of <see cref="EarlyExitModelOptions"/>.</value>
    public EarlyExitModelOptions? ModelOptions { get; init; }

    /// <summary>
    /// The column of inputs: text; or a vector of <see cref="int"/>, encoder ids exactly as given, <c>&lt;/s&gt;</c> included. A missing text is refused,
    /// unless <see cref="TextGenerationOptions.MissingTexts"/> makes it the empty one.
    /// </summary>
    public required string InputColumnName { get; init; }

    /// <summary>
    /// The column of targets: text, which <c>&lt;/s&gt;</c> is added to; or a vector of <see cref="int"/>, ids without the decoder start token and exactly as
    /// given. A target longer than <see cref="TextGenerationOptions.MaxNewTokens"/> is cut to its beginning, and the log says so.
    /// </summary>
    /// <value>The default value is null: the targets are what the model generates at full depth.</value>
    public string? TargetColumnName { get; init; }

    /// <summary>
    /// How inputs are read, and targets generated where there is no <see cref="TargetColumnName"/>. <see cref="TextGenerationOptions.Exit"/> and
    /// <see cref="TextGenerationOptions.Trace"/> have no meaning here, so the options of a generation can be given as they are.
    /// </summary>
    /// <value>The default value is null: the defaults of <see cref="TextGenerationOptions"/>.</value>
    public TextGenerationOptions? GenerationOptions { get; init; }

    /// <summary>Whether every layer gets a probe of its own; false trains one for all layers.</summary>
    /// <value>The default value is false.</value>
    public bool OneProbePerLayer { get; init; }

    /// <summary>The first layer that may be an exit, 1 to L - 1: only hidden states of it and the layers up to L - 1 are trained on.</summary>
    /// <value>The default value is 1.</value>
    /// <exception cref="ArgumentOutOfRangeException">The value is below 1.</exception>
    public int MinimumLayer
    {
        get => _minimumLayer;
        init => _minimumLayer = value >= 1
            ? value
            : throw new ArgumentOutOfRangeException(nameof(MinimumLayer), value, "MinimumLayer must be from 1 to the number of decoder layers less one.");
    }

    /// <summary>
    /// A trainer of linear binary classifiers that reads the columns Features and Label: it must give a <c>LinearBinaryModelParameters</c>, plain or calibrated
    /// by Platt's method. A plain one's score is taken as the logarithm of the odds; append <c>mlContext.BinaryClassification.Calibrators.Platt()</c> to
    /// trainers whose score is not that. Features are standardised before it sees them.
    /// </summary>
    /// <value>The default value is null: <c>mlContext.BinaryClassification.Trainers.LbfgsLogisticRegression</c>, on one thread.</value>
    public IEstimator<ITransformer>? Trainer { get; init; }

    /// <summary>
    /// How many tokens of a row are used at most, at least 1, chosen at random. All examples are held in memory, 4 · d bytes for every token and
    /// layer: 94 KB for a token of a model of width 1,024 with 23 layers to train on.
    /// </summary>
    /// <value>The default value is null: all tokens.</value>
    /// <exception cref="ArgumentOutOfRangeException">The value is below 1.</exception>
    public int? MaxTokensPerRow
    {
        get => _maxTokensPerRow;
        init => _maxTokensPerRow = value is null or >= 1
            ? value
            : throw new ArgumentOutOfRangeException(nameof(MaxTokensPerRow), value, "MaxTokensPerRow must be at least 1.");
    }

    /// <summary>The share of input rows that the classifier is measured on and not trained on, at least 0 and below 1.</summary>
    /// <value>The default value is 0.1.</value>
    /// <exception cref="ArgumentOutOfRangeException">The value is outside its range.</exception>
    public double HeldOutFraction
    {
        get => _heldOutFraction;
        init => _heldOutFraction = value is >= 0 and < 1
            ? value
            : throw new ArgumentOutOfRangeException(nameof(HeldOutFraction), value, "HeldOutFraction must be at least 0 and below 1.");
    }

    /// <summary>Says which rows are held out and which tokens are not used. What a trainer does at random follows the seed of its own context.</summary>
    /// <value>The default value is 0.</value>
    public int Seed { get; init; } = Defaults.Seed;

    /// <summary>The values by their names, alike in every culture.</summary>
    /// <returns>One line of text.</returns>
    public override string ToString() => MemberText.Of(this);
}
