using Microsoft.ML.EarlyExit;
using Microsoft.ML.EarlyExit.Calibration;

namespace Microsoft.ML;

/// <summary>Calibration of exits, and its watch over later prompts, in <c>mlContext.TextGeneration</c>.</summary>
public static class ExitCalibrationCatalog
{
    /// <param name="catalog">The catalog.</param>
    extension(TextGenerationOperationsCatalog catalog)
    {
        /// <summary>Creates an <see cref="ExitCalibrationEstimator"/>, which finds the fastest threshold that data certify.</summary>
        /// <remarks>Load models from trusted sources only.</remarks>
        /// <param name="outputColumnName">The column that receives the generated text.</param>
        /// <param name="inputColumnName">The column of prompts, text or token ids; null for the one named <paramref name="outputColumnName"/>.</param>
        /// <param name="modelPath">The model bundle's folder.</param>
        /// <param name="policy">The policy whose threshold is calibrated.</param>
        /// <param name="delta">δ: how much the expected loss, 1 less the ROUGE-L of the text against the full model's, may be, above 0 and below 1.</param>
        /// <param name="epsilon">ε: the probability with which the guarantee may fail, above 0 and below 1.</param>
        /// <param name="options">How text is generated; its policy has no meaning here. Null for the defaults.</param>
        /// <param name="cancellationToken">Ends the calibration when the operator that runs does, mostly within milliseconds.</param>
        /// <returns>The estimator.</returns>
        /// <exception cref="ArgumentNullException">A required argument is null.</exception>
        /// <exception cref="ArgumentException">A name or the path is empty, the policy has no threshold to calibrate or a measure of your own that is not
        /// registered, or δ or ε is out of range.</exception>
        /// <example>
        /// <code>
        /// TextGenerationTransformer model = mlContext.TextGeneration.CalibrateExit(
        ///     "Summary", "Dialogue", "t5-samsum", new ExitPolicy { MinimumLayer = 7, Pruning = VocabularyPruning.Decaying() },
        ///     delta: 0.05, epsilon: 0.05).Fit(prompts);
        /// Console.WriteLine(model.Certificate);
        /// </code>
        /// </example>
        public ExitCalibrationEstimator CalibrateExit(
            string outputColumnName,
            string? inputColumnName,
            string modelPath,
            ExitPolicy policy,
            double delta,
            double epsilon,
            TextGenerationOptions? options = null,
            CancellationToken cancellationToken = default)
        {
            ArgumentNullException.ThrowIfNull(outputColumnName);
            ArgumentNullException.ThrowIfNull(modelPath);
            ArgumentNullException.ThrowIfNull(policy);
            return catalog.CalibrateExit(
                new ExitCalibrationEstimator.Options
                {
                    Generation = new TextGenerationEstimator.Options
                    {
                        OutputColumnName = outputColumnName, InputColumnName = inputColumnName, ModelPath = modelPath, GenerationOptions = options,
                    },
                    Policies = [policy],
                    Delta = delta,
                    Epsilon = epsilon,
                },
                cancellationToken);
        }

        /// <summary>Creates an <see cref="ExitCalibrationEstimator"/> with everything it can be given.</summary>
        /// <remarks>Load models from trusted sources only.</remarks>
        /// <param name="options">What is calibrated, for which guarantee, and how.</param>
        /// <param name="cancellationToken">Ends the calibration when the operator that runs does, mostly within milliseconds; what
        /// <see cref="ExitCalibrationEstimator.Options.CheckpointPath"/> has of it stays.</param>
        /// <returns>The estimator.</returns>
        /// <exception cref="ArgumentNullException"><paramref name="options"/> is null.</exception>
        /// <exception cref="ArgumentException">The generation's options are refused, the loss needs references and no column is named, or a policy has a
        /// measure of your own that is not registered; see <see cref="Confidence.Register"/>.</exception>
        public ExitCalibrationEstimator CalibrateExit(ExitCalibrationEstimator.Options options, CancellationToken cancellationToken = default)
        {
            ArgumentNullException.ThrowIfNull(catalog);
            ArgumentNullException.ThrowIfNull(options);
            return new ExitCalibrationEstimator(catalog.Context, options, cancellationToken);
        }

        /// <summary>Tests on later prompts whether what was certified still holds.</summary>
        /// <remarks>
        /// <para>Generates for every prompt with the calibrated policy and at full depth, and hands the losses to a <see cref="RiskMonitor"/>, in the prompts'
        /// order. Its test may be continued for ever: keep the monitor, and give it again with the next prompts. Drift is declared falsely, ever, with
        /// probability <see cref="RiskMonitor.Alpha"/> at most; then calibrate again.</para>
        /// <para>It costs a full-depth generation of each prompt: give a sample, chosen without regard to their losses.</para>
        /// </remarks>
        /// <param name="transformer">A calibrated transformer, as it was fitted or loaded.</param>
        /// <param name="data">The later prompts, with the transformer's input column.</param>
        /// <param name="monitor">What has watched the prompts before; null to begin with an α of 0.05.</param>
        /// <param name="loss">The certificate's loss, where it is the caller's own; null for one of the library's.</param>
        /// <param name="labelColumnName">The column of references, where the loss needs them: a text, or a vector of texts.</param>
        /// <param name="cancellationToken">Ends the test when the operator that runs does, mostly within milliseconds; the monitor keeps what it has seen by
        /// then, which its <see cref="RiskMonitorState.Count"/> tells.</param>
        /// <returns>What the monitor has seen by now.</returns>
        /// <exception cref="ArgumentNullException">A required argument is null.</exception>
        /// <exception cref="ArgumentException">The transformer has no certificate, or loss or monitor are not the certificate's.</exception>
        /// <exception cref="ArgumentOutOfRangeException">A column is missing, or of another type; or the caller's loss is outside [0, 1].</exception>
        /// <exception cref="InvalidOperationException">A row cannot be generated; the message names it.</exception>
        /// <exception cref="OperationCanceledException">Cancellation was requested.</exception>
        public RiskMonitorState EvaluateDrift(
            TextGenerationTransformer transformer,
            IDataView data,
            RiskMonitor? monitor = null,
            CalibrationLoss? loss = null,
            string? labelColumnName = null,
            CancellationToken cancellationToken = default)
        {
            ArgumentNullException.ThrowIfNull(catalog);
            ArgumentNullException.ThrowIfNull(transformer);
            ArgumentNullException.ThrowIfNull(data);
            return DriftEvaluation.Evaluate(catalog.Context, transformer, data, monitor, loss, labelColumnName, cancellationToken);
        }
    }
}
