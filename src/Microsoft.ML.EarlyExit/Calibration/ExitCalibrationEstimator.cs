using System.Globalization;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.EarlyExit;

/// <summary>Finds the fastest threshold that data certify, and gives a text generation that uses it.</summary>
/// <remarks>
/// <para>Created by <c>mlContext.TextGeneration.CalibrateExit</c>. <see cref="Fit"/> generates for all prompts: once at full depth, and once for every candidate, until a test
/// says that going on is useless. The encoder runs once for a prompt as far as its outputs fit into a gigabyte, and a candidate generates only for the prompts for which its
/// threshold can change anything. The log has progress with the time left at most.</para>
/// <para>What is promised, for every procedure but conformal risk control: with probability at least 1 - ε over the draw of the calibration prompts, the expected loss of a
/// new prompt from the same source is at most δ. It presumes that prompts are independent draws from one source; and that policies, grid, loss, δ and ε were chosen without
/// a look at these prompts. Nothing is promised of a single prompt, of a part of the prompts, or of prompts from elsewhere: watch later ones with
/// <c>mlContext.TextGeneration.EvaluateDrift</c>.</para>
/// </remarks>
public sealed class ExitCalibrationEstimator : IEstimator<TextGenerationTransformer>
{
    private readonly IHost _host;
    private readonly ExitCalibrationOptions _options;
    private readonly TextGenerationEstimator _generation;

    internal ExitCalibrationEstimator(IHostEnvironment environment, ExitCalibrationOptions options)
    {
        ArgumentNullException.ThrowIfNull(options.Generation, nameof(options.Generation));
        ArgumentNullException.ThrowIfNull(options.Loss, nameof(options.Loss));
        if (options.Policies.Count == 0 || options.Delta == 0 || options.Epsilon == 0)
            throw new ArgumentException("Policies, Delta and Epsilon must be given.", nameof(options));
        if (options.LabelColumnName is not null)
            ArgumentException.ThrowIfNullOrWhiteSpace(options.LabelColumnName, nameof(options.LabelColumnName));
        else if (options.Loss.NeedsReferences)
            throw new ArgumentException($"The loss {options.Loss.Name} compares with references: name their column with LabelColumnName.", nameof(options));
        _host = environment.Register(nameof(ExitCalibrationEstimator));
        _options = options;
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
    /// <exception cref="InvalidOperationException">There are too few prompts, and the message says how many are needed; the loss' tokenizer drops more than 1 % of the letters of
    /// references or generated texts, and what to take instead; a row cannot be generated; or its loss is outside [0, 1]. The message names the row.</exception>
    /// <exception cref="OperationCanceledException">Cancellation was asked for.</exception>
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
        using var calibration = new ExitCalibration(model, _options, generation, prompts, progress => log.Progress(() => progress.ToString()));
        if (calibration.ResumedRuns > 0)
            channel.Info(MessageSensitivity.None, $"Goes on where an earlier calibration was interrupted: {calibration.ResumedRuns} runs are finished.");
        CalibrationCertificate certificate = calibration.Run();
        calibration.Complete();
        channel.Info(MessageSensitivity.None, string.Create(
            CultureInfo.InvariantCulture,
            $"{certificate.Statement} {certificate.Candidates.Count} candidates on {prompts.Count} prompts; {calibration.GeneratedCount} generations in {log.Elapsed.TotalSeconds:F1} s."));
        if (certificate.Policy is null || calibration.HasNothingToLose)
            channel.Warning(MessageSensitivity.None, certificate.Statement);
        return certificate;
    }
}
