using System.Diagnostics;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using Microsoft.ML.EarlyExit.Calibration.Procedures;
using Microsoft.ML.EarlyExit.Exit;
using Microsoft.ML.EarlyExit.Generation;

namespace Microsoft.ML.EarlyExit.Calibration;

/// <summary>The runs of a calibration: generates for the prompts at full depth and with the candidates that are asked for, keeps finished runs in a checkpoint,
/// and tells how far the work is.</summary>
internal sealed class CalibrationRuns : IDisposable
{
    private const string FullDepth = "full depth";

    private readonly ExitCalibrationEstimator.Options _options;
    private readonly CalibrationCheckpoint? _checkpoint;
    private readonly Action<CalibrationProgress> _progress;
    private readonly Part _tested;
    private readonly Part? _heldOut;
    private readonly long _started = Stopwatch.GetTimestamp();
    private readonly int _mostRuns;
    private int _finishedRuns;

    /// <param name="model">The model.</param>
    /// <param name="options">What is calibrated.</param>
    /// <param name="generation">How it generates, without a policy.</param>
    /// <param name="sample">The prompts.</param>
    /// <param name="inputsHash">What identifies them.</param>
    /// <param name="progress">Is told how far the work is, after every prompt.</param>
    /// <param name="cancellationToken">Looked at between operators.</param>
    public CalibrationRuns(
        EarlyExitModel model, ExitCalibrationEstimator.Options options, TextGenerationOptions generation, CalibrationSample sample, string inputsHash,
        Action<CalibrationProgress> progress, CancellationToken cancellationToken)
    {
        _options = options;
        _progress = progress;
        _checkpoint = options.CheckpointPath is { } path ? new CalibrationCheckpoint(path, Identify(model, options, generation, inputsHash)) : null;
        ResumedCount = FinishedCount;
        _tested = new Part("", new CandidateRunner(model, generation, sample.Tested, cancellationToken), sample.Tested);
        _heldOut = sample.HeldOut.Length == 0
            ? null
            : new Part("held out, ", new CandidateRunner(model, generation, sample.HeldOut, cancellationToken), sample.HeldOut);
        _mostRuns = (_heldOut is null ? 1 : 2) * (1 + (options.Policies.Count * options.Grid.Count));
    }

    /// <summary>Runs that an earlier calibration had finished.</summary>
    public int ResumedCount { get; }

    /// <summary>Runs that the checkpoint has, those of an earlier calibration included.</summary>
    public int FinishedCount => _checkpoint?.Count ?? 0;

    /// <summary>Prompts that were generated, those of all runs together.</summary>
    public long GeneratedCount => _tested.Runner.GeneratedCount + (_heldOut?.Runner.GeneratedCount ?? 0);

    /// <summary>The full model's texts of the prompts that are tested on, once a candidate was tested.</summary>
    public string[] FullTexts => _tested.FullTexts!;

    /// <summary>Runs a candidate on the prompts that it is tested on.</summary>
    /// <exception cref="InvalidOperationException">The loss' tokenizer drops more than 1 % of the letters of what was generated; or a loss is not in [0,
    /// 1].</exception>
    public CandidateResult Test(Candidate candidate)
    {
        FindFullTexts(_tested);

        // Without a held-out part candidates come in their order: what a sequence has left out before this one will not run.
        if (_heldOut is null)
            _finishedRuns = 1 + (candidate.PolicyIndex * _options.Grid.Count) + candidate.GridIndex;
        return Run(_tested, candidate);
    }

    /// <summary>Runs a candidate on the prompts that are held out.</summary>
    /// <inheritdoc cref="Test"/>
    public CandidateResult HoldOut(Candidate candidate)
    {
        FindFullTexts(_heldOut!);
        return Run(_heldOut!, candidate);
    }

    /// <summary>Forgets the finished runs: the certificate is where it belongs.</summary>
    public void Complete() => _checkpoint?.Delete();

    public void Dispose()
    {
        _checkpoint?.Dispose();
        _tested.Runner.Dispose();
        _heldOut?.Runner.Dispose();
    }

    /// <summary>Everything that results depend on, in a hash.</summary>
    private static string Identify(EarlyExitModel model, ExitCalibrationEstimator.Options options, TextGenerationOptions generation, string inputsHash)
    {
        var text = new StringBuilder();
        text.Append(model.Bundle.Identity).Append('\n').Append(inputsHash).Append('\n').Append(TextGenerationOptionsJson.Write(generation)).Append('\n');
        foreach (ExitPolicy policy in options.Policies)
            text.Append(ExitPolicyJson.Write(policy with { Threshold = 1 })).Append('\n');
        text.Append(CultureInfo.InvariantCulture, $"{options.Loss.Description}\n");
        if (options.Procedure == RiskProcedure.FixedSequenceByCost)
            text.Append(CultureInfo.InvariantCulture, $"{options.HeldOutFraction:R} {options.Seed}");
        return Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(text.ToString())));
    }

    private void FindFullTexts(Part part)
    {
        if (part.FullTexts is not null)
            return;
        string run = part.Name + FullDepth;
        string[]? known = _checkpoint?.FindTexts(run);
        part.FullTexts = known ?? [.. part.Runner.Run(null, null, Report(part, run)).Select(output => output.Text)];
        CheckLetters(part.FullTexts, "the full model's texts");
        if (known is null)
            _checkpoint?.AddTexts(run, part.FullTexts);
        CheckCount(part, part.FullTexts.Length, "texts");
        _finishedRuns++;
    }

    private CandidateResult Run(Part part, Candidate candidate)
    {
        float lambda = _options.Grid[candidate.GridIndex];
        string run = string.Create(CultureInfo.InvariantCulture, $"{part.Name}policy {candidate.PolicyIndex}, λ {lambda}");
        CandidateResult? result = _checkpoint?.Find(run);
        if (result is null)
        {
            ExitPolicy policy = _options.Policies[candidate.PolicyIndex] with { Threshold = lambda };

            // Another policy's outputs, or those of a lower threshold, say nothing.
            CandidateOutput[]? previous =
                part.Last is { } last && last.Candidate.PolicyIndex == candidate.PolicyIndex && last.Candidate.GridIndex <= candidate.GridIndex
                    ? last.Outputs
                    : null;
            CandidateOutput[] outputs = part.Runner.Run(policy, previous, Report(part, run));
            part.Last = (candidate, outputs);
            CheckLetters(
                outputs.Select(output => output.Text),
                string.Create(CultureInfo.InvariantCulture, $"the texts that policy {candidate.PolicyIndex} generates with threshold {lambda}"));
            result = CandidateResult.Measure(_options.Loss, part.Prompts, part.FullTexts!, outputs);
            _checkpoint?.Add(run, result);
        }

        CheckCount(part, result.Losses.Length, "losses");
        _finishedRuns++;
        return result;
    }

    private void CheckCount(Part part, int count, string what)
    {
        if (count != part.Prompts.Length)
            throw new InvalidDataException($"The checkpoint '{_options.CheckpointPath}' has {count} {what} for {part.Prompts.Length} prompts; delete it.");
    }

    private void CheckLetters(IEnumerable<string> texts, string what)
    {
        try
        {
            LossTexts.Check(_options.Loss, texts, what);
        }
        catch (InvalidOperationException) when (FinishedCount == 0)
        {
            // Another loss could not go on from it.
            _checkpoint?.Delete();
            throw;
        }
    }

    private Action<int> Report(Part part, string run) => finished =>
    {
        TimeSpan elapsed = Stopwatch.GetElapsedTime(_started);
        double done = _finishedRuns + ((double)finished / part.Prompts.Length);
        _progress(new CalibrationProgress(
            _finishedRuns, _mostRuns, run, finished, part.Prompts.Length, elapsed, _finishedRuns == 0 ? null : elapsed * ((_mostRuns - done) / done)));
    };

    /// <summary>Prompts that are run together, and what was generated for them.</summary>
    private sealed class Part(string name, CandidateRunner runner, CalibrationPrompt[] prompts)
    {
        /// <summary>What the names of its runs begin with.</summary>
        public string Name { get; } = name;

        public CandidateRunner Runner { get; } = runner;

        public CalibrationPrompt[] Prompts { get; } = prompts;

        public string[]? FullTexts { get; set; }

        public (Candidate Candidate, CandidateOutput[] Outputs)? Last { get; set; }
    }
}
