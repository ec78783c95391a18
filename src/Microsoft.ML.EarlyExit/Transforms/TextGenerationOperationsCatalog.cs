using Microsoft.ML.EarlyExit;

namespace Microsoft.ML;

/// <summary>What can be done with text generation beside generating, in <c>mlContext.TextGeneration</c>.</summary>
public sealed class TextGenerationOperationsCatalog
{
    private readonly MLContext _context;

    internal TextGenerationOperationsCatalog(MLContext context) => _context = context;

    /// <summary>Trains an exit classifier: a linear probe that tells from a hidden state whether the layer would choose the last layer's token.</summary>
    /// <remarks>
    /// <para>For every token of every target, and every layer from the minimum exit layer to L - 1, the example is the hidden state after the layer, as decoding
    /// the target at full depth has it; its label is whether the likeliest token there, over the whole vocabulary, is the last layer's. The model runs once for every
    /// row, one row at a time; where targets have to be generated, that comes first, batched.</para>
    /// <para>All examples are held in memory, 4 · d bytes for each; see <see cref="ExitClassifierOptions.MaximumTokensPerRow"/>. The log of the context tells how much
    /// that is, how far the work is, and of inputs and targets that had to be cut.</para>
    /// <para>With one probe per layer, a layer whose training examples all have one label gets a probe of constant confidence (n₁ + 1) / (n + 2), for n₁ of n
    /// examples that agree, and the log has a warning.</para>
    /// <para>The same data, options and seeds give the same classifier, with trainers of which that is true, as of the default one.</para>
    /// </remarks>
    /// <param name="data">The rows.</param>
    /// <param name="options">The model, the columns, and how the classifier is trained.</param>
    /// <returns>The classifier, with its measures on held-out rows.</returns>
    /// <exception cref="ArgumentNullException">An argument is null.</exception>
    /// <exception cref="ArgumentOutOfRangeException">A column is missing, or holds neither text nor a vector of ids.</exception>
    /// <exception cref="ArgumentException">There is no model or two, a name is empty, the minimum layer does not fit the model, or the trainer gives something
    /// else than a linear binary classifier.</exception>
    /// <exception cref="DirectoryNotFoundException">There is no folder at the model's path.</exception>
    /// <exception cref="InvalidModelException">The bundle is damaged, or lacks the tokenizer that a column of texts needs.</exception>
    /// <exception cref="InvalidOperationException">There is no row to train on, all layers agree with the last one on all examples or none does, or a row
    /// cannot be used; the message names it.</exception>
    /// <exception cref="ObjectDisposedException">The model is disposed.</exception>
    /// <example>
    /// <code>
    /// ExitClassifier classifier = mlContext.TextGeneration.TrainExitClassifier(data, new ExitClassifierOptions
    /// {
    ///     ModelPath = "t5-samsum", InputColumnName = "Dialogue", GenerationOptions = new TextGenerationOptions { Prefix = "summarize: " },
    /// });
    /// classifier.Save("policy.json");
    /// </code>
    /// </example>
    public ExitClassifier TrainExitClassifier(IDataView data, ExitClassifierOptions options)
    {
        ArgumentNullException.ThrowIfNull(data);
        ArgumentNullException.ThrowIfNull(options);
        return ExitClassifierTraining.Train(_context, data, options);
    }

    /// <summary>Evaluates generated texts against references: ROUGE, SQuAD's exact match and F1, BLEU and chrF.</summary>
    /// <remarks>The data is read once, and its rows are not kept. See the other overload for agreement with full depth, exit statistics and confidence
    /// intervals.</remarks>
    /// <param name="data">The rows; what a text generation generates when it is read is generated now.</param>
    /// <param name="labelColumnName">The column of references: a text, or a vector of texts of which any may be right.</param>
    /// <param name="predictionColumnName">The column of generated texts.</param>
    /// <returns>The metrics.</returns>
    /// <exception cref="ArgumentNullException">An argument is null.</exception>
    /// <exception cref="ArgumentOutOfRangeException">A column is missing, or of another type.</exception>
    /// <example>
    /// <code>
    /// TextGenerationMetrics metrics = mlContext.TextGeneration.Evaluate(model.Transform(test), labelColumnName: "Reference", predictionColumnName: "Summary");
    /// Console.WriteLine(metrics.Rouge!.Value.RougeL.FMeasure);
    /// </code>
    /// </example>
    public TextGenerationMetrics Evaluate(IDataView data, string labelColumnName, string predictionColumnName)
    {
        ArgumentNullException.ThrowIfNull(labelColumnName);
        ArgumentNullException.ThrowIfNull(predictionColumnName);
        return Evaluate(data, new TextGenerationEvaluationOptions { LabelColumnName = labelColumnName, PredictionColumnName = predictionColumnName });
    }

    /// <summary>Evaluates generated texts, and how they were generated.</summary>
    /// <remarks>
    /// <para>The data is read once, by one cursor, and its rows are not kept: memory does not grow with their number.</para>
    /// <para>A row without prediction or reference, or whose generation failed, is a bad one: it is counted, described in the context's log, and has no part in the
    /// figures, unless <see cref="TextGenerationEvaluationOptions.ThrowOnBadRows"/> makes it an exception.</para>
    /// </remarks>
    /// <param name="data">The rows; what a text generation generates when it is read is generated now.</param>
    /// <param name="options">The columns, the metrics, and how they are computed.</param>
    /// <returns>The metrics.</returns>
    /// <exception cref="ArgumentNullException">An argument is null.</exception>
    /// <exception cref="ArgumentException">The options ask for nothing, or for something whose column they do not name.</exception>
    /// <exception cref="ArgumentOutOfRangeException">A column is missing, or of another type.</exception>
    /// <exception cref="InvalidOperationException">A row is bad, and the options make that an exception; or a row could not be generated, and no column tells.</exception>
    public TextGenerationMetrics Evaluate(IDataView data, TextGenerationEvaluationOptions options)
    {
        ArgumentNullException.ThrowIfNull(data);
        ArgumentNullException.ThrowIfNull(options);
        return TextGenerationEvaluation.Evaluate(_context, data, options);
    }

    /// <summary>Adds every row's scores to it, as columns.</summary>
    /// <remarks>
    /// <para>The columns are <c>Rouge1</c>, <c>Rouge2</c>, <c>RougeL</c> and <c>RougeLsum</c>, vectors of three <see cref="double"/> whose slots are named Precision,
    /// Recall and FMeasure; <c>ExactMatch</c> and <c>F1</c>, 0 to 1; and, with a column of the full model's texts, <c>AgreementExact</c>, <c>AgreementRougeL</c> and
    /// <c>AgreementF1</c>, 0 to 1: those that the options ask for. BLEU and chrF are metrics of a whole corpus and have no column. <c>EvaluationProblem</c> is empty, or
    /// says why the row has no scores, which are NaN then.</para>
    /// <para>Rows are scored when a score is read, and again when it is read again.</para>
    /// </remarks>
    /// <param name="data">The rows.</param>
    /// <param name="options">The columns, the metrics, and how they are computed; what is said of the whole, such as a bootstrap, has no meaning here.</param>
    /// <returns>The rows with their scores.</returns>
    /// <exception cref="ArgumentNullException">An argument is null.</exception>
    /// <exception cref="ArgumentException">The options ask for no score.</exception>
    /// <exception cref="ArgumentOutOfRangeException">A column is missing, or of another type.</exception>
    public IDataView EvaluateRows(IDataView data, TextGenerationEvaluationOptions options)
    {
        ArgumentNullException.ThrowIfNull(data);
        ArgumentNullException.ThrowIfNull(options);
        return new EvaluatedDataView(data, options);
    }

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
    /// <exception cref="ArgumentException">A name or the path is empty, the policy has no threshold to calibrate, or δ or ε is out of range.</exception>
    /// <example>
    /// <code>
    /// TextGenerationTransformer model = mlContext.TextGeneration.CalibrateExit(
    ///     "Summary", "Dialogue", "t5-samsum", new ExitPolicy { MinimumLayer = 7, Pruning = VocabularyPruning.Decaying() }, delta: 0.05, epsilon: 0.05).Fit(prompts);
    /// Console.WriteLine(model.Certificate);
    /// </code>
    /// </example>
    public ExitCalibrationEstimator CalibrateExit(
        string outputColumnName, string? inputColumnName, string modelPath, ExitPolicy policy, double delta, double epsilon,
        TextGenerationOptions? options = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(outputColumnName);
        ArgumentNullException.ThrowIfNull(modelPath);
        ArgumentNullException.ThrowIfNull(policy);
        return CalibrateExit(
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
    /// <exception cref="ArgumentException">The generation's options are refused, or the loss needs references and no column is named.</exception>
    public ExitCalibrationEstimator CalibrateExit(ExitCalibrationEstimator.Options options, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(options);
        return new ExitCalibrationEstimator(_context, options, cancellationToken);
    }

    /// <summary>Tests on later prompts whether what was certified still holds.</summary>
    /// <remarks>
    /// <para>Generates for every prompt with the calibrated policy and at full depth, and hands the losses to a <see cref="RiskMonitor"/>, in the prompts' order. Its test may be
    /// continued for ever: keep the monitor, and give it again with the next prompts. Drift is declared falsely, ever, with probability
    /// <see cref="RiskMonitor.Alpha"/> at most; then calibrate again.</para>
    /// <para>It costs a full-depth generation of each prompt: give a sample, chosen without regard to their losses.</para>
    /// </remarks>
    /// <param name="transformer">A calibrated transformer, as it was fitted or loaded.</param>
    /// <param name="data">The later prompts, with the transformer's input column.</param>
    /// <param name="monitor">What has watched the prompts before; null to begin with an α of 0.05.</param>
    /// <param name="loss">The certificate's loss, where it is the caller's own; null for one of the library's.</param>
    /// <param name="labelColumnName">The column of references, where the loss needs them: a text, or a vector of texts.</param>
    /// <param name="cancellationToken">Ends the test when the operator that runs does, mostly within milliseconds; the monitor keeps what it has seen by then,
    /// which its
    /// <see cref="RiskMonitorState.Count"/> tells.</param>
    /// <returns>What the monitor has seen by now.</returns>
    /// <exception cref="ArgumentNullException">A required argument is null.</exception>
    /// <exception cref="ArgumentException">The transformer has no certificate, or loss or monitor are not the certificate's.</exception>
    /// <exception cref="ArgumentOutOfRangeException">A column is missing, or of another type; or the caller's loss is outside [0, 1].</exception>
    /// <exception cref="InvalidOperationException">A row cannot be generated; the message names it.</exception>
    /// <exception cref="OperationCanceledException">Cancellation was asked for.</exception>
    public RiskMonitorState EvaluateDrift(
        TextGenerationTransformer transformer, IDataView data, RiskMonitor? monitor = null, CalibrationLoss? loss = null, string? labelColumnName = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(transformer);
        ArgumentNullException.ThrowIfNull(data);
        return DriftEvaluation.Evaluate(_context, transformer, data, monitor, loss, labelColumnName, cancellationToken);
    }
}
