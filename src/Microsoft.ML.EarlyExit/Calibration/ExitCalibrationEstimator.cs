using System.Globalization;
using Microsoft.ML.EarlyExit.Calibration;
using Microsoft.ML.EarlyExit.Calibration.Statistics;
using Microsoft.ML.EarlyExit.Evaluation.DataViews;
using Microsoft.ML.EarlyExit.Evaluation.Text;
using Microsoft.ML.EarlyExit.Exit.Confidences;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.EarlyExit;

/// <summary>Finds the fastest threshold that data certify, and gives a text generation that uses it.</summary>
/// <remarks>
/// <para>Created by <c>mlContext.TextGeneration.CalibrateExit</c>. <see cref="Fit"/> generates for all prompts: once at full depth, and once for every
/// candidate, until a test says that going on is useless. The encoder runs once for a prompt as far as its outputs fit into a gigabyte, and a candidate
/// generates only for the prompts for which its threshold can change anything. The log has progress with the time left at most.</para>
/// <para>What is promised, for every procedure but conformal risk control: with probability at least 1 - ε over the draw of the calibration prompts, the
/// expected loss of a new prompt from the same source is at most δ. It presumes that prompts are independent draws from one source; and that policies, grid,
/// loss, δ and ε were chosen without a look at these prompts. Nothing is promised of a single prompt, of a part of the prompts, or of prompts from elsewhere:
/// watch later ones with <c>mlContext.TextGeneration.EvaluateDrift</c>.</para>
/// </remarks>
public sealed class ExitCalibrationEstimator : IEstimator<TextGenerationTransformer>
{
    private readonly IHost _host;
    private readonly Options _options;
    private readonly CancellationToken _cancellationToken;
    private readonly TextGenerationEstimator _generation;

    internal ExitCalibrationEstimator(IHostEnvironment environment, Options options, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(options.Generation, nameof(options.Generation));
        ArgumentNullException.ThrowIfNull(options.Loss, nameof(options.Loss));
        if (options.Policies.Count == 0 || options.Delta == 0 || options.Epsilon == 0)
            throw new ArgumentException("Policies, Delta and Epsilon must be given.", nameof(options));
        foreach ((int index, ExitPolicy policy) in options.Policies.Index())
        {
            // Not after hours, when the certificate is written.
            if (policy.Confidence is CustomConfidence { IsRegistered: false } custom)
            {
                throw new ArgumentException(
                    $"Policies[{index}]: the confidence '{custom.Name}' is a delegate, which no certificate can hold. "
                    + "Register it with Confidence.Register before calibrating.",
                    nameof(options));
            }
        }

        if (options.LabelColumnName is not null)
            ArgumentException.ThrowIfNullOrWhiteSpace(options.LabelColumnName, nameof(options.LabelColumnName));
        else if (options.Loss.NeedsReferences)
            throw new ArgumentException($"The loss {options.Loss.Name} compares with references: name their column with LabelColumnName.", nameof(options));
        _host = environment.Register(nameof(ExitCalibrationEstimator));
        _options = options;
        _cancellationToken = cancellationToken;
        _generation = new TextGenerationEstimator(environment, options.Generation);
    }

    /// <summary>Calibrates.</summary>
    /// <param name="input">The calibration prompts, with the input column, and with references where the loss needs them. All are read.</param>
    /// <returns>The transformer with the calibrated policy, and its <c>Certificate</c>. If nothing is certified it never exits, which is full
    /// depth; the certificate and a warning in the log say why.</returns>
    /// <exception cref="ArgumentOutOfRangeException">A column is missing, or of another type.</exception>
    /// <exception cref="ArgumentException">A policy does not fit the model, or the test does not fit the loss.</exception>
    /// <exception cref="DirectoryNotFoundException">There is no folder at the model's path.</exception>
    /// <exception cref="InvalidDataException">The checkpoint is of another calibration, or damaged.</exception>
    /// <exception cref="InvalidModelException">The bundle is damaged, or lacks a tokenizer: losses compare texts.</exception>
    /// <exception cref="InvalidOperationException">There are too few prompts, and the message says how many are needed; the loss' tokenizer drops more than 1 %
    /// of the letters of references or generated texts, and what to take instead; a row cannot be generated; or its loss is outside [0, 1]. The message names
    /// the row.</exception>
    /// <exception cref="OperationCanceledException">Cancellation was requested.</exception>
    public TextGenerationTransformer Fit(IDataView input)
    {
        ArgumentNullException.ThrowIfNull(input);
        DataViewSchema.Column? label = CalibrationData.FindLabel(input.Schema, _options.LabelColumnName, nameof(input));
        using TextGenerationTransformer transformer = _generation.Fit(input);
        EarlyExitModel model = transformer.Model;
        CalibrationData.CheckModel(model);
        var log = new ProgressLog(_host, "Calibrating exits", TimeProvider.System);
        IChannel channel = log.Open();
        try
        {
            List<CalibrationPrompt> prompts = CalibrationData.Read(
                input, transformer.Columns.Input.Find(input.Schema), label, model, transformer.GenerationOptions, channel);
            if (CalibrationData.FindDuplicates(prompts) is { } problem)
                channel.Warning(MessageSensitivity.None, problem);
            CalibrationCertificate certificate = Calibrate(model, transformer.GenerationOptions, prompts, channel, log);
            return transformer.With(certificate.Policy, CertificateStream.Of(certificate));
        }
        finally
        {
            log.Close(null);
        }
    }

    /// <summary>The shape of the transformer's output: the input's columns, then the generated ones.</summary>
    /// <param name="inputSchema">The shape of the input.</param>
    /// <returns>The shape of the output.</returns>
    /// <exception cref="ArgumentOutOfRangeException">The input column is missing, or is neither text nor a vector of ids.</exception>
    public SchemaShape GetOutputSchema(SchemaShape inputSchema) => _generation.GetOutputSchema(inputSchema);

    private CalibrationCertificate Calibrate(
        EarlyExitModel model, TextGenerationOptions generation, List<CalibrationPrompt> prompts, IChannel channel, ProgressLog log)
    {
        using var calibration = new ExitCalibration(
            model, _options, generation, prompts, progress => log.Progress(() => progress.ToString()), _cancellationToken);
        if (calibration.ResumedRuns > 0)
            channel.Info(MessageSensitivity.None, $"Goes on where an earlier calibration was interrupted: {calibration.ResumedRuns} runs are finished.");
        CalibrationCertificate certificate = calibration.Run();
        calibration.Complete();
        int candidates = certificate.Candidates.Count;
        double seconds = log.Elapsed.TotalSeconds;
        channel.Info(MessageSensitivity.None, string.Create(
            CultureInfo.InvariantCulture,
            $"{certificate.Statement} {candidates} candidates on {prompts.Count} prompts; {calibration.GeneratedCount} generations in {seconds:F1} s."));
        if (certificate.Policy is null || calibration.HasNothingToLose)
            channel.Warning(MessageSensitivity.None, certificate.Statement);
        return certificate;
    }

    /// <summary>What is calibrated, for which guarantee, and how. Immutable; every value is checked where it is given, and what depends on model or data by
    /// <see cref="Fit"/>.</summary>
    public sealed record Options
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
        /// The text generation that is calibrated: its columns, its model, and how it generates. The policy of its <see cref="TextGenerationOptions.Exit"/> has
        /// no meaning here, and the calibrated transformer has the calibrated one in its place. Its <see cref="TextGenerationOptions.BatchSize"/> holds for the
        /// calibration, too.
        /// </summary>
        public required TextGenerationEstimator.Options Generation { get; init; }

        /// <summary>
        /// The policies to choose from, at least one. Their thresholds are what is calibrated: λ of the grid takes the place of
        /// <see cref="ExitPolicy.Threshold"/>. Without <see cref="ExitPolicy.Thresholds"/>, <see cref="ExitPolicy.StaticExitLayer"/>,
        /// <see cref="ExitPolicy.SelfSpeculation"/> (which needs no guarantee: its output is the full model's) and adaptive thresholds. A measure of your own
        /// must be registered with <see cref="Confidence.Register"/> before the estimator is created: the certificate names it.
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

        /// <summary>The thresholds to choose from, strictly decreasing, each in [0, 1]. Beginning with 1, at which no token exits early, makes a test that
        /// passes where any can.</summary>
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
        /// A file that keeps every finished candidate, so that a calibration that was interrupted goes on where it was: with the same file, data, model and
        /// options. It is deleted when the calibration is complete. Its folder must exist.
        /// </summary>
        /// <value>The default value is null: nothing is kept.</value>
        public string? CheckpointPath { get; init; }

        /// <summary>The values by their names, alike in every culture.</summary>
        /// <returns>One line of text.</returns>
        public override string ToString() => MemberText.Of(this);

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
}
