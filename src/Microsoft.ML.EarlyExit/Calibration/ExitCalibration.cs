using System.Diagnostics;
using System.Globalization;
using System.Reflection;
using System.Security.Cryptography;
using System.Text;

namespace Microsoft.ML.EarlyExit;

/// <summary>One calibration: runs full depth and the candidates as far as the tests need them, and says what they certify.</summary>
internal sealed class ExitCalibration : IDisposable
{
    private const string FullDepth = "full depth";
    private const string HeldOut = "held out, ";

    private readonly EarlyExitModel _model;
    private readonly ExitCalibrationOptions _options;
    private readonly TextGenerationOptions _generation;
    private readonly Action<CalibrationProgress> _progress;
    private readonly CalibrationCheckpoint? _checkpoint;
    private readonly string _inputsHash;
    private readonly Part _calibration;
    private readonly Part? _heldOut;
    private readonly long _started = Stopwatch.GetTimestamp();
    private int _finishedRuns;
    private int _mostRuns;

    /// <param name="model">The model.</param>
    /// <param name="options">What is calibrated.</param>
    /// <param name="generation">How it generates; the policy is given by the candidates.</param>
    /// <param name="prompts">The prompts.</param>
    /// <param name="progress">Is told how far the work is, after every prompt.</param>
    /// <exception cref="ArgumentException">A policy does not fit the model, or the procedure takes one policy only.</exception>
    /// <exception cref="InvalidOperationException">There are too few prompts, and the message says how many are needed; or the loss' tokenizer drops more than 1 % of the letters
    /// of the references.</exception>
    public ExitCalibration(
        EarlyExitModel model, ExitCalibrationOptions options, TextGenerationOptions generation, IReadOnlyList<CalibrationPrompt> prompts, Action<CalibrationProgress> progress)
    {
        _model = model;
        _options = options;
        _generation = generation with { Exit = null, Trace = false };
        _progress = progress;
        foreach ((int index, ExitPolicy policy) in options.Policies.Index())
        {
            try
            {
                policy.Validate(model.Configuration);
            }
            catch (ArgumentException exception)
            {
                throw new ArgumentException($"Policies[{index}]: {exception.Message}", nameof(options));
            }
        }

        if (options.Procedure == RiskProcedure.ConformalRiskControl && options.Policies.Count > 1)
            throw new ArgumentException($"ConformalRiskControl takes one policy, not {options.Policies.Count}: choosing between them would void what it says.", nameof(options));
        (CalibrationPrompt[] kept, CalibrationPrompt[] heldOut) = Split(prompts);
        CheckCount(prompts.Count, kept.Length);
        if (options.Loss.NeedsReferences)
            LossTexts.Check(options.Loss, prompts.SelectMany(prompt => prompt.References), "the references");
        _inputsHash = CalibrationData.Hash(prompts);
        _checkpoint = options.CheckpointPath is { } path ? new CalibrationCheckpoint(path, Identity()) : null;
        ResumedRuns = FinishedRuns;
        _calibration = new Part(model, _generation, kept, options.CancellationToken);
        _heldOut = heldOut.Length == 0 ? null : new Part(model, _generation, heldOut, options.CancellationToken);
        _mostRuns = 1 + (options.Policies.Count * options.Grid.Count);
        if (_heldOut is not null)
            _mostRuns *= 2;
    }

    /// <summary>Runs that an earlier calibration had finished.</summary>
    public int ResumedRuns { get; }

    /// <summary>Runs that are finished, those of an earlier calibration included.</summary>
    public int FinishedRuns => _checkpoint?.Count ?? 0;

    /// <summary>Prompts that were generated, those of all runs together.</summary>
    public long GeneratedCount => _calibration.Runner.GeneratedCount + (_heldOut?.Runner.GeneratedCount ?? 0);

    /// <summary>Whether the certificate says nothing, since no text could lose more than δ.</summary>
    public bool HasNothingToLose { get; private set; }

    /// <summary>Calibrates.</summary>
    /// <exception cref="InvalidOperationException">The loss' tokenizer drops more than 1 % of the letters of what was generated; or a loss is not in [0, 1].</exception>
    public CalibrationCertificate Run()
    {
        List<CalibrationCandidate> candidates = _options.Procedure switch
        {
            RiskProcedure.FixedSequence => RunSequences(),
            RiskProcedure.FixedSequenceByCost => RunByCost(),
            RiskProcedure.ConformalRiskControl => RunConformal(),
            _ => RunAll(),
        };
        CalibrationCandidate? chosen = candidates.Where(candidate => candidate.Passed).MinBy(candidate => candidate.MeanExitLayer);
        var certificate = new CalibrationCertificate
        {
            Policy = chosen is null ? null : _options.Policies[chosen.PolicyIndex] with { Threshold = chosen.Lambda },
            PolicyIndex = chosen?.PolicyIndex,
            Lambda = chosen?.Lambda,
            Delta = _options.Delta,
            Epsilon = _options.Epsilon,
            Loss = _options.Loss.Name,
            RougeTokenizer = _options.Loss.RougeTokenizer,
            Test = _options.Test,
            Procedure = _options.Procedure,
            PromptCount = _calibration.Prompts.Length,
            Policies = _options.Policies,
            Candidates = candidates,
            Seed = _options.Seed,
            InputsSha256 = _inputsHash,
            ModelSha256 = _model.Bundle.Identity,
            Date = DateTimeOffset.UtcNow,
            Version = typeof(ExitCalibration).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion.Split('+')[0] ?? "",
            Statement = State(candidates, chosen),
        };
        return certificate;
    }

    /// <summary>Forgets the finished runs: the certificate is where it belongs.</summary>
    public void Complete() => _checkpoint?.Delete();

    public void Dispose()
    {
        _checkpoint?.Dispose();
        _calibration.Dispose();
        _heldOut?.Dispose();
    }

    private double Level => LearnThenTest.Level(_options.Procedure, _options.Policies.Count, _options.Policies.Count * _options.Grid.Count, _options.Epsilon);

    /// <summary>For each policy down the grid until a test fails.</summary>
    private List<CalibrationCandidate> RunSequences()
    {
        double level = Level;
        var candidates = new List<CalibrationCandidate>();
        for (int policy = 0; policy < _options.Policies.Count; policy++)
        {
            foreach (float lambda in _options.Grid)
            {
                CandidateResult result = Generate(_calibration, "", policy, lambda);
                double pValue = _options.Test.PValue(result.Losses, _options.Delta, level);
                candidates.Add(Candidate(policy, lambda, result, pValue, pValue <= level));
                if (pValue > level)
                    break;
            }

            // What a sequence leaves out will not run.
            _finishedRuns = 1 + ((policy + 1) * _options.Grid.Count);
        }

        return candidates;
    }

    private List<CalibrationCandidate> RunAll()
    {
        double level = Level;
        List<CalibrationCandidate> candidates = [];
        for (int policy = 0; policy < _options.Policies.Count; policy++)
        {
            foreach (float lambda in _options.Grid)
            {
                CandidateResult result = Generate(_calibration, "", policy, lambda);
                candidates.Add(Candidate(policy, lambda, result, _options.Test.PValue(result.Losses, _options.Delta, level), passed: false));
            }
        }

        bool[] passed =
        [
            .. LearnThenTest.Passed(
                _options.Procedure,
                [.. candidates.GroupBy(candidate => candidate.PolicyIndex).Select(group => group.Select(candidate => candidate.PValue).ToArray())],
                heldOutCosts: null,
                _options.Epsilon).SelectMany(row => row),
        ];
        return [.. candidates.Select((candidate, index) => candidate with { Passed = passed[index] })];
    }

    /// <summary>All candidates on the held-out part, then, from the most expensive there, on the others until a test fails.</summary>
    private List<CalibrationCandidate> RunByCost()
    {
        var costs = new List<(int Policy, float Lambda, double Cost)>();
        for (int policy = 0; policy < _options.Policies.Count; policy++)
        {
            foreach (float lambda in _options.Grid)
                costs.Add((policy, lambda, Generate(_heldOut!, HeldOut, policy, lambda).Operations.Total));
        }

        double level = Level;
        var candidates = new List<CalibrationCandidate>();
        foreach ((int policy, float lambda, _) in costs.OrderByDescending(candidate => candidate.Cost))
        {
            CandidateResult result = Generate(_calibration, "", policy, lambda);
            double pValue = _options.Test.PValue(result.Losses, _options.Delta, level);
            candidates.Add(Candidate(policy, lambda, result, pValue, pValue <= level));
            if (pValue > level)
                break;
        }

        return candidates;
    }

    private List<CalibrationCandidate> RunConformal()
    {
        var candidates = new List<CalibrationCandidate>();
        foreach (float lambda in _options.Grid)
        {
            CandidateResult result = Generate(_calibration, "", 0, lambda);
            bool passed = ConformalRiskControl.AdjustedRisk(result.Losses) <= _options.Delta;
            candidates.Add(Candidate(0, lambda, result, double.NaN, passed));
            if (!passed)
                break;
        }

        return candidates;
    }

    private static CalibrationCandidate Candidate(int policy, float lambda, CandidateResult result, double pValue, bool passed) => new()
    {
        PolicyIndex = policy,
        Lambda = lambda,
        MeanLoss = result.Losses.Average(),
        PValue = pValue,
        MeanExitLayer = result.MeanExitLayer,
        Operations = result.Operations,
        Passed = passed,
    };

    /// <summary>Generates a candidate for a part of the prompts, or takes it from the checkpoint.</summary>
    private CandidateResult Generate(Part part, string name, int policyIndex, float lambda)
    {
        if (part.FullTexts is null)
        {
            string[]? known = _checkpoint?.FindTexts(name + FullDepth);
            part.FullTexts = known ?? [.. part.Runner.Run(null, null, Report(part, name + FullDepth)).Select(output => output.Text)];
            CheckLetters(part.FullTexts, "the full model's texts");
            if (known is null)
                _checkpoint?.AddTexts(name + FullDepth, part.FullTexts);
            if (part.FullTexts.Length != part.Prompts.Length)
                throw new InvalidDataException($"The checkpoint '{_options.CheckpointPath}' has {part.FullTexts.Length} texts for {part.Prompts.Length} prompts; delete it.");
            _finishedRuns++;
        }

        string run = string.Create(CultureInfo.InvariantCulture, $"{name}policy {policyIndex}, λ {lambda}");
        CandidateResult? result = _checkpoint?.Find(run);
        if (result is null)
        {
            ExitPolicy policy = _options.Policies[policyIndex] with { Threshold = lambda };

            // Another policy's outputs, or those of a lower threshold, say nothing.
            CandidateOutput[]? previous = part.Last is { } last && last.Policy == policyIndex && last.Lambda >= lambda ? last.Outputs : null;
            CandidateOutput[] outputs = part.Runner.Run(policy, previous, Report(part, run));
            part.Last = (policyIndex, lambda, outputs);
            CheckLetters(outputs.Select(output => output.Text), string.Create(CultureInfo.InvariantCulture, $"the texts that policy {policyIndex} generates with threshold {lambda}"));
            result = Measure(part, outputs);
            _checkpoint?.Add(run, result);
        }

        if (result.Losses.Length != part.Prompts.Length)
            throw new InvalidDataException($"The checkpoint '{_options.CheckpointPath}' has {result.Losses.Length} losses for {part.Prompts.Length} prompts; delete it.");
        _finishedRuns++;
        return result;
    }

    private void CheckLetters(IEnumerable<string> texts, string what)
    {
        try
        {
            LossTexts.Check(_options.Loss, texts, what);
        }
        catch (InvalidOperationException) when (FinishedRuns == 0)
        {
            // Another loss could not go on from it.
            _checkpoint?.Delete();
            throw;
        }
    }

    private CandidateResult Measure(Part part, CandidateOutput[] outputs)
    {
        double[] losses = new double[outputs.Length];
        long layers = 0;
        long tokens = 0;
        double decoder = 0, propagation = 0, confidence = 0, head = 0, paper = 0;
        for (int row = 0; row < outputs.Length; row++)
        {
            ref readonly CandidateOutput output = ref outputs[row];
            double loss = _options.Loss.Compute(new CalibrationOutcome(output.Text, part.FullTexts![row], part.Prompts[row].References));
            if (!(loss is >= 0 and <= 1))
            {
                throw new InvalidOperationException(string.Create(
                    CultureInfo.InvariantCulture,
                    $"The loss {_options.Loss.Name} of row {part.Prompts[row].Row}, counted from 0, is {loss}; it must be from 0 to 1."));
            }

            losses[row] = loss;
            layers += output.Layers;
            tokens += output.Tokens;
            decoder += output.Operations.Decoder;
            propagation += output.Operations.StatePropagation;
            confidence += output.Operations.Confidence;
            head += output.Operations.Head;
            paper += output.Operations.Paper;
        }

        double count = outputs.Length;
        return new CandidateResult(
            losses, (double)layers / tokens, new MeanOperationCounts(decoder / count, propagation / count, confidence / count, head / count, paper / count));
    }

    private Action<int> Report(Part part, string run) => finished =>
    {
        TimeSpan elapsed = Stopwatch.GetElapsedTime(_started);
        double done = _finishedRuns + ((double)finished / part.Prompts.Length);
        _progress(new CalibrationProgress(
            _finishedRuns, _mostRuns, run, finished, part.Prompts.Length, elapsed, _finishedRuns == 0 ? null : elapsed * ((_mostRuns - done) / done)));
    };

    private (CalibrationPrompt[] Kept, CalibrationPrompt[] HeldOut) Split(IReadOnlyList<CalibrationPrompt> prompts)
    {
        if (_options.Procedure != RiskProcedure.FixedSequenceByCost)
            return ([.. prompts], []);
        CalibrationPrompt[] shuffled = [.. prompts];
        new Random(_options.Seed).Shuffle(shuffled);
        int count = (int)Math.Round(shuffled.Length * _options.HeldOutFraction);
        return (shuffled[count..], shuffled[..count]);
    }

    private void CheckCount(int given, int tested)
    {
        if (given < 2)
            throw new InvalidOperationException(given == 0 ? "There is no prompt to calibrate on: the data is empty." : "There is one prompt to calibrate on; one says nothing about others.");
        if (_options.Procedure == RiskProcedure.FixedSequenceByCost && tested == given)
            throw new InvalidOperationException($"HeldOutFraction {_options.HeldOutFraction} of {given} prompts is none; give more prompts, or a larger fraction.");
        bool isConformal = _options.Procedure == RiskProcedure.ConformalRiskControl;
        long? needed = isConformal ? (long)Math.Ceiling((1 / _options.Delta) - 1) : _options.Test.SmallestRowCount(_options.Delta, Level);
        if (needed <= tested)
            return;
        string level = isConformal || Level == _options.Epsilon ? "" : string.Create(CultureInfo.InvariantCulture, $" (at {Level:G4} for each of the tests together)");
        throw new InvalidOperationException(string.Create(
            CultureInfo.InvariantCulture,
            $"{tested} prompts can never certify δ = {_options.Delta} at ε = {_options.Epsilon}{level}, whatever is generated: even without any loss at least "
            + $"{needed?.ToString(CultureInfo.InvariantCulture) ?? $"{RiskTests.MostRows}"} are needed. Give more prompts, or a larger δ or ε."));
    }

    /// <summary>Everything that results depend on, in a hash.</summary>
    private string Identity()
    {
        var text = new StringBuilder();
        text.Append(_model.Bundle.Identity).Append('\n').Append(_inputsHash).Append('\n').Append(TextGenerationOptionsJson.Write(_generation)).Append('\n');
        foreach (ExitPolicy policy in _options.Policies)
            text.Append(ExitPolicyJson.Write(policy with { Threshold = 1 })).Append('\n');
        text.Append(CultureInfo.InvariantCulture, $"{DescribeLoss()}\n");
        if (_options.Procedure == RiskProcedure.FixedSequenceByCost)
            text.Append(CultureInfo.InvariantCulture, $"{_options.HeldOutFraction:R} {_options.Seed}");
        return Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(text.ToString())));
    }

    private string State(List<CalibrationCandidate> candidates, CalibrationCandidate? chosen)
    {
        string loss = DescribeLoss();
        int count = _calibration.Prompts.Length;
        string policy = _options.Policies.Count == 1 ? "" : $" of policy {chosen?.PolicyIndex}";
        FormattableString statement;
        if (chosen is null)
        {
            CalibrationCandidate best = candidates.MinBy(candidate => candidate.MeanLoss)!;
            statement = $"Nothing is certified, so no token may leave early: of {candidates.Count} candidates on {count} prompts none passed; the smallest mean {loss} loss was {best.MeanLoss:0.####} (λ = {best.Lambda}) against δ = {_options.Delta}.";
        }
        else if (_options.Procedure == RiskProcedure.ConformalRiskControl)
        {
            statement = $"With threshold {chosen.Lambda}, the expected {loss} loss of a new prompt is at most {_options.Delta}, on average over the draw of the {count} calibration prompts and of the new one, if all are exchangeable and no prompt's loss falls with the threshold (conformal risk control).";
        }
        else
        {
            statement = $"With probability at least {1 - _options.Epsilon:0.######} over the draw of the {count} calibration prompts, the expected {loss} loss of a new prompt from the same source is at most {_options.Delta} with threshold {chosen.Lambda}{policy}, if all are independent draws ({Describe(_options.Test)}, {Describe(_options.Procedure)}).";
        }

        IEnumerable<string> texts = _calibration.FullTexts!.Concat(_options.Loss.NeedsReferences ? _calibration.Prompts.SelectMany(prompt => prompt.References) : []);
        return FormattableString.Invariant(statement) + LossTexts.DescribeUnspaced(_options.Loss, texts) + (chosen is null ? "" : DescribeNothingToLose());
    }

    /// <summary>What has to be said where the full model's texts score so little that no text whatever could lose more than δ.</summary>
    private string DescribeNothingToLose()
    {
        if (_options.Loss.FullScore is not { } score)
            return "";
        double mean = _calibration.Prompts.Select((prompt, row) => score(new CalibrationOutcome("", _calibration.FullTexts![row], prompt.References))).Average();
        HasNothingToLose = mean <= _options.Delta;
        return HasNothingToLose
            ? FormattableString.Invariant($" But the full model's own texts score {mean:0.####} on average, not more than δ, and none can lose more than that: any text at all would pass, and this says nothing of the policy. Look at the references, or take a smaller δ.")
            : "";
    }

    private string DescribeLoss() => _options.Loss.RougeTokenizer == RougeTokenizer.Unicode ? $"{_options.Loss.Name} (Unicode words)" : _options.Loss.Name;

    private static string Describe(RiskTest test) => test switch
    {
        RiskTest.HoeffdingBentkus => "Hoeffding–Bentkus test",
        RiskTest.Binomial => "exact binomial test",
        _ => "betting test",
    };

    private static string Describe(RiskProcedure procedure) => procedure switch
    {
        RiskProcedure.FixedSequence => "fixed-sequence testing",
        RiskProcedure.FixedSequenceByCost => "fixed-sequence testing in the order of held-out costs",
        RiskProcedure.Bonferroni => "Bonferroni's correction",
        _ => "Holm's correction",
    };

    /// <summary>Prompts that are run together, and what was generated for them.</summary>
    private sealed class Part(EarlyExitModel model, TextGenerationOptions generation, CalibrationPrompt[] prompts, CancellationToken cancellationToken) : IDisposable
    {
        public CalibrationPrompt[] Prompts { get; } = prompts;

        public CandidateRunner Runner { get; } = new(model, generation, prompts, cancellationToken);

        public string[]? FullTexts { get; set; }

        public (int Policy, float Lambda, CandidateOutput[] Outputs)? Last { get; set; }

        public void Dispose() => Runner.Dispose();
    }
}
