namespace Microsoft.ML.EarlyExit;

/// <summary>What is calibrated, for which guarantee, and how. Immutable; every value is checked where it is given, and what depends on model or data by
/// <see cref="ExitCalibrationEstimator.Fit"/>.</summary>
public sealed class ExitCalibrationOptions
{
    internal static class Defaults
    {
        public const RiskTest Test = RiskTest.HoeffdingBentkus;
        public const RiskProcedure Procedure = RiskProcedure.FixedSequence;
        public const double HeldOutFraction = 0.3;
    }

    private readonly double _delta;
    private readonly double _epsilon;
    private readonly IReadOnlyList<ExitPolicy> _policies = [];
    private readonly IReadOnlyList<float> _grid = ThresholdGrid.Default;
    private readonly RiskTest _test = Defaults.Test;
    private readonly RiskProcedure _procedure = Defaults.Procedure;
    private readonly double _heldOutFraction = Defaults.HeldOutFraction;

    /// <summary>
    /// The text generation that is calibrated: its columns, its model, and how it generates. The policy of its <see cref="TextGenerationOptions.Exit"/> has no meaning here, and the
    /// calibrated transformer has the calibrated one in its place. Its <see cref="TextGenerationOptions.BatchSize"/> holds for the calibration, too.
    /// </summary>
    public required TextGenerationEstimator.Options Generation { get; init; }

    /// <summary>
    /// The policies to choose from, at least one. Their thresholds are what is calibrated: λ of the grid takes the place of <see cref="ExitPolicy.Threshold"/>. Without
    /// <see cref="ExitPolicy.Thresholds"/>, <see cref="ExitPolicy.StaticExitLayer"/>, <see cref="ExitPolicy.SelfSpeculation"/> (which needs no guarantee: its output is the full
    /// model's) and adaptive thresholds.
    /// </summary>
    /// <exception cref="ArgumentException">There is none, or one has no threshold to calibrate.</exception>
    public required IReadOnlyList<ExitPolicy> Policies
    {
        get => _policies;
        init
        {
            ArgumentNullException.ThrowIfNull(value, nameof(Policies));
            if (value.Count == 0)
                throw new ArgumentException("Policies is empty; give at least one policy.", nameof(Policies));
            foreach ((int index, ExitPolicy? policy) in value.Index())
            {
                ArgumentNullException.ThrowIfNull(policy, $"{nameof(Policies)}[{index}]");
                try
                {
                    CheckPolicy(policy);
                }
                catch (ArgumentException exception)
                {
                    throw new ArgumentException($"Policies[{index}]: {exception.Message}", nameof(Policies));
                }
            }

            _policies = [.. value];
        }
    }

    /// <summary>δ: the tolerance of the expected loss, above 0 and below 1.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is out of range.</exception>
    public required double Delta
    {
        get => _delta;
        init => _delta = InOpenInterval(value, nameof(Delta));
    }

    /// <summary>ε: the probability with which the guarantee may fail, above 0 and below 1.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is out of range.</exception>
    public required double Epsilon
    {
        get => _epsilon;
        init => _epsilon = InOpenInterval(value, nameof(Epsilon));
    }

    /// <summary>The loss, with its words: where they drop more than 1 % of the letters of the texts it compares, the calibration is refused.</summary>
    /// <value>The default value is <see cref="CalibrationLoss.RougeL"/>.</value>
    public CalibrationLoss Loss { get; init; } = CalibrationLoss.RougeL;

    /// <summary>The column of references or answers, which losses of risk need: a text, or a vector of texts.</summary>
    /// <value>The default value is null: the loss needs none.</value>
    public string? LabelColumnName { get; init; }

    /// <summary>The test of each candidate.</summary>
    /// <value>The default value is <see cref="RiskTest.HoeffdingBentkus"/>.</value>
    /// <exception cref="ArgumentOutOfRangeException">The value is not defined.</exception>
    public RiskTest Test
    {
        get => _test;
        init => _test = Enum.IsDefined(value) ? value : throw new ArgumentOutOfRangeException(nameof(Test), value, "Test must be a defined RiskTest.");
    }

    /// <summary>How several candidates are tested together.</summary>
    /// <value>The default value is <see cref="RiskProcedure.FixedSequence"/>.</value>
    /// <exception cref="ArgumentOutOfRangeException">The value is not defined.</exception>
    public RiskProcedure Procedure
    {
        get => _procedure;
        init => _procedure = Enum.IsDefined(value)
            ? value
            : throw new ArgumentOutOfRangeException(nameof(Procedure), value, "Procedure must be a defined RiskProcedure.");
    }

    /// <summary>The thresholds to choose from, strictly decreasing, each in [0, 1]. Beginning with 1, at which no token leaves early, makes a test that passes where any can.</summary>
    /// <value>The default value is 1.00, 0.98, …, 0.50, then 0.45, 0.40, …, 0.05.</value>
    /// <exception cref="ArgumentException">The value is empty, not decreasing, or has a number outside [0, 1].</exception>
    public IReadOnlyList<float> Grid
    {
        get => _grid;
        init
        {
            ArgumentNullException.ThrowIfNull(value, nameof(Grid));
            float[] grid = [.. value];
            ThresholdGrid.Check(grid, nameof(Grid));
            _grid = grid;
        }
    }

    /// <summary>The share of prompts that <see cref="RiskProcedure.FixedSequenceByCost"/> holds out to order the candidates, above 0 and below 1.</summary>
    /// <value>The default value is 0.3.</value>
    /// <exception cref="ArgumentOutOfRangeException">The value is out of range.</exception>
    public double HeldOutFraction
    {
        get => _heldOutFraction;
        init => _heldOutFraction = InOpenInterval(value, nameof(HeldOutFraction));
    }

    /// <summary>The seed of the split that <see cref="HeldOutFraction"/> makes.</summary>
    /// <value>The default value is 0.</value>
    public int Seed { get; init; }

    /// <summary>
    /// A file that keeps every finished candidate, so that a calibration that was interrupted goes on where it was: with the same file, data, model and options. It is
    /// deleted when the calibration is complete. Its folder must exist.
    /// </summary>
    /// <value>The default value is null: nothing is kept.</value>
    public string? CheckpointPath { get; init; }

    /// <summary>Ends the calibration when the operator that runs does, mostly within milliseconds; what <see cref="CheckpointPath"/> has of it stays.</summary>
    /// <value>The default value is one that is never cancelled.</value>
    public CancellationToken CancellationToken { get; init; }

    /// <summary>Checks that a policy has one threshold to calibrate.</summary>
    /// <exception cref="ArgumentException">It has not.</exception>
    internal static void CheckPolicy(ExitPolicy policy)
    {
        string? problem = policy switch
        {
            { StaticExitLayer: not null } => "StaticExitLayer compares nothing with a threshold",
            { Thresholds: not null } => "Thresholds gives one for each layer, where one number is calibrated; leave it out",
            { SelfSpeculation: not null } => "with SelfSpeculation the output is the full model's at every threshold: there is nothing to certify",
            { ShallowDeep.AdaptiveThreshold: true } => "ShallowDeep.AdaptiveThreshold would not stay where it is certified",
            _ => null,
        };
        if (problem is not null)
            throw new ArgumentException($"The policy has no threshold to calibrate: {problem}.");
    }

    private static double InOpenInterval(double value, string name)
    {
        CalibrationArguments.CheckOpenUnit(value, name);
        return value;
    }
}
