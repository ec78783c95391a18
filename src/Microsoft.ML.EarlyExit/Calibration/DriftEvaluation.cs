using Microsoft.ML.EarlyExit.Evaluation.DataViews;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.EarlyExit.Calibration;

/// <summary>Tests on later prompts whether what a certificate says still holds.</summary>
internal static class DriftEvaluation
{
    /// <summary>Prompts that are generated for together.</summary>
    private const int Chunk = 64;

    public static RiskMonitorState Evaluate(
        IHostEnvironment environment, TextGenerationTransformer transformer, IDataView data, RiskMonitor? monitor, CalibrationLoss? loss,
        string? labelColumnName, CancellationToken cancellationToken)
    {
        CalibrationCertificate certificate = transformer.Certificate
            ?? throw new ArgumentException(
                "The transformer has no certificate: only what CalibrateExit made, or a model that was saved with it, can be tested for drift.",
                nameof(transformer));
        loss ??= FindLoss(certificate)
            ?? throw new ArgumentException($"The certificate is for the loss '{certificate.Loss}', which is none of the library's: give it.", nameof(loss));
        if (loss.Name != certificate.Loss)
            throw new ArgumentException($"The certificate is for the loss '{certificate.Loss}', not '{loss.Name}'.", nameof(loss));
        if ((loss.RougeTokenizer ?? RougeTokenizer.Rouge) != (certificate.RougeTokenizer ?? RougeTokenizer.Rouge))
        {
            throw new ArgumentException(
                $"The certificate is for the loss '{certificate.Loss}' with the words of {certificate.RougeTokenizer ?? RougeTokenizer.Rouge}, "
                + $"not of {loss.RougeTokenizer ?? RougeTokenizer.Rouge}.",
                nameof(loss));
        }

        monitor ??= new RiskMonitor(certificate.Delta);
        if (monitor.Delta != certificate.Delta)
            throw new ArgumentException($"The monitor watches δ = {monitor.Delta}, but the certificate is for {certificate.Delta}.", nameof(monitor));
        if (loss.NeedsReferences && labelColumnName is null)
            throw new ArgumentException($"The loss {loss.Name} compares with references: name their column.", nameof(labelColumnName));
        DataViewSchema.Column? label = CalibrationData.FindLabel(data.Schema, labelColumnName, nameof(labelColumnName));
        var log = new ProgressLog(environment.Register("EvaluateDrift"), "Testing for drift", TimeProvider.System);
        IChannel channel = log.Open();
        try
        {
            List<CalibrationPrompt> prompts = CalibrationData.Read(
                data, transformer.Columns.Input.Find(data.Schema), label, transformer.Model, transformer.GenerationOptions, channel);
            var texts = new List<string>();
            bool hadDrifted = monitor.HasDrifted;
            RiskMonitorState state = monitor.State;
            foreach (CalibrationPrompt[] chunk in prompts.Chunk(Chunk))
            {
                foreach (double value in Losses(transformer, chunk, loss, texts, cancellationToken))
                    state = monitor.Add(value);
                log.Progress(() => $"{state.Count} prompts; p = {state.PValue:G3}.");
            }

            RougeTextStatistics statistics = LossTexts.Count(loss, texts);
            if (statistics.DropsTooMuch)
            {
                channel.Warning(
                    MessageSensitivity.None,
                    $"{statistics.DescribeDropped()} of these prompts' texts: the loss {loss.Name}, which the certificate is for, does not see them, "
                    + "and no drift in them. Calibrate again, with Unicode words or the loss chrf.");
            }

            if (state.HasDrifted && !hadDrifted)
            {
                channel.Warning(
                    MessageSensitivity.None,
                    FormattableString.Invariant($"Drift: over {state.Count} prompts the mean {loss.Name} loss is {state.MeanLoss:F4}, ")
                    + FormattableString.Invariant($"above the certified δ = {monitor.Delta} (p = {state.PValue:G3}). Calibrate again."));
            }

            return state;
        }
        finally
        {
            log.Close(null);
        }
    }

    private static CalibrationLoss? FindLoss(CalibrationCertificate certificate)
    {
        CalibrationLoss? loss = CalibrationLoss.All.FirstOrDefault(known => known.Name == certificate.Loss);
        return certificate.RougeTokenizer is { } tokenizer ? loss?.WithRougeTokenizer(tokenizer) : loss;
    }

    private static IEnumerable<double> Losses(
        TextGenerationTransformer transformer, CalibrationPrompt[] prompts, CalibrationLoss loss, List<string> texts, CancellationToken cancellationToken)
    {
        using var runner = new CandidateRunner(transformer.Model, transformer.GenerationOptions, prompts, cancellationToken);
        CandidateOutput[] full = runner.Run(null, null);
        CandidateOutput[] early = transformer.GenerationOptions.Exit is { } policy ? runner.Run(policy, null) : full;
        for (int row = 0; row < prompts.Length; row++)
            texts.AddRange([early[row].Text, full[row].Text, .. loss.NeedsReferences ? prompts[row].References : []]);
        return prompts.Select((prompt, index) => loss.Compute(new CalibrationOutcome(early[index].Text, full[index].Text, prompt.References)));
    }
}
