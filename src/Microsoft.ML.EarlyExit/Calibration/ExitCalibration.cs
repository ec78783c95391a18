using System.Reflection;
using Microsoft.ML.EarlyExit.Calibration.Procedures;
using Microsoft.ML.EarlyExit.Calibration.Statistics;

namespace Microsoft.ML.EarlyExit.Calibration;

/// <summary>One calibration: runs full depth and the candidates as far as the procedure asks for them, and says what they certify.</summary>
internal sealed class ExitCalibration : IDisposable
{
    private readonly EarlyExitModel _model;
    private readonly ExitCalibrationEstimator.Options _options;
    private readonly Candidate[] _candidates;
    private readonly CalibrationSample _sample;
    private readonly string _inputsHash;
    private readonly CalibrationRuns _runs;

    /// <param name="model">The model.</param>
    /// <param name="options">What is calibrated.</param>
    /// <param name="generation">How it generates; the policy is given by the candidates.</param>
    /// <param name="prompts">The prompts.</param>
    /// <param name="progress">Is told how far the work is, after every prompt.</param>
    /// <param name="cancellationToken">Looked at between operators.</param>
    /// <exception cref="ArgumentException">A policy does not fit the model, or the procedure takes one policy only.</exception>
    /// <exception cref="InvalidOperationException">There are too few prompts, and the message says how many are needed; or the loss' tokenizer drops more than
    /// 1 % of the letters of the references.</exception>
    public ExitCalibration(
        EarlyExitModel model, ExitCalibrationEstimator.Options options, TextGenerationOptions generation, IReadOnlyList<CalibrationPrompt> prompts,
        Action<CalibrationProgress> progress, CancellationToken cancellationToken)
    {
        _model = model;
        _options = options;
        CheckPolicies(options, model.Configuration);
        _candidates = Candidate.All(options.Policies.Count, options.Grid.Count);
        _sample = CalibrationSample.Create(options, _candidates, prompts);
        if (options.Loss.NeedsReferences)
            LossTexts.Check(options.Loss, prompts.SelectMany(prompt => prompt.References), "the references");
        _inputsHash = CalibrationData.Hash(prompts);
        _runs = new CalibrationRuns(model, options, generation with { Exit = null, Trace = false }, _sample, _inputsHash, progress, cancellationToken);
    }

    /// <inheritdoc cref="CalibrationRuns.ResumedCount"/>
    public int ResumedRuns => _runs.ResumedCount;

    /// <inheritdoc cref="CalibrationRuns.FinishedCount"/>
    public int FinishedRuns => _runs.FinishedCount;

    /// <inheritdoc cref="CalibrationRuns.GeneratedCount"/>
    public long GeneratedCount => _runs.GeneratedCount;

    /// <inheritdoc cref="CalibrationStatement.HasNothingToLose"/>
    public bool HasNothingToLose { get; private set; }

    /// <summary>Calibrates.</summary>
    /// <exception cref="InvalidOperationException">The loss' tokenizer drops more than 1 % of the letters of what was generated; or a loss is not in [0,
    /// 1].</exception>
    public CalibrationCertificate Run()
    {
        CalibrationCandidate[] candidates = Test();
        CalibrationCandidate? chosen = candidates.Where(candidate => candidate.Passed).MinBy(candidate => candidate.MeanExitLayer);
        var statement = CalibrationStatement.Create(_options, _sample.Tested, _runs.FullTexts, candidates, chosen);
        HasNothingToLose = statement.HasNothingToLose;
        return new CalibrationCertificate(
            policy: chosen is null ? null : _options.Policies[chosen.PolicyIndex] with { Threshold = chosen.Lambda },
            policyIndex: chosen?.PolicyIndex,
            lambda: chosen?.Lambda,
            delta: _options.Delta,
            epsilon: _options.Epsilon,
            loss: _options.Loss.Name,
            rougeTokenizer: _options.Loss.RougeTokenizer,
            test: _options.Test,
            procedure: _options.Procedure,
            promptCount: _sample.Tested.Length,
            policies: _options.Policies,
            candidates: candidates,
            seed: _options.Seed,
            inputsSha256: _inputsHash,
            modelSha256: _model.Bundle.Identity,
            date: DateTimeOffset.UtcNow,
            version: typeof(ExitCalibration).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion.Split('+')[0] ?? "",
            statement: statement.Text);
    }

    /// <inheritdoc cref="CalibrationRuns.Complete"/>
    public void Complete() => _runs.Complete();

    public void Dispose() => _runs.Dispose();

    private static void CheckPolicies(ExitCalibrationEstimator.Options options, T5Configuration configuration)
    {
        foreach ((int index, ExitPolicy policy) in options.Policies.Index())
        {
            try
            {
                policy.Validate(configuration);
            }
            catch (ArgumentException exception)
            {
                throw new ArgumentException($"Policies[{index}]: {exception.Message}", nameof(options));
            }
        }

        if (options.Procedure == RiskProcedure.ConformalRiskControl && options.Policies.Count > 1)
        {
            throw new ArgumentException(
                $"ConformalRiskControl takes one policy, not {options.Policies.Count}: choosing between them would void what it says.", nameof(options));
        }
    }

    /// <summary>Tests the candidates that the procedure asks for.</summary>
    private CalibrationCandidate[] Test()
    {
        var results = new Dictionary<Candidate, CandidateResult>();
        Verdict[] verdicts = Walk(candidate => (results[candidate] = _runs.Test(candidate)).Losses);
        return [.. verdicts.Select(verdict => Describe(verdict, results[verdict.Candidate]))];
    }

    private Verdict[] Walk(Func<Candidate, double[]> lossesOf)
    {
        if (_options.Procedure == RiskProcedure.ConformalRiskControl)
            return ConformalRiskControl.Walk(_candidates, _options.Delta, candidate => ConformalRiskControl.AdjustedRisk(lossesOf(candidate)));
        double level = LearnThenTest.Level(_options.Procedure, _candidates, _options.Epsilon);
        return LearnThenTest.Walk(
            _options.Procedure, _candidates, _options.Epsilon,
            candidate => _runs.HoldOut(candidate).Operations.Total,
            candidate => _options.Test.PValue(lossesOf(candidate), _options.Delta, level));
    }

    private CalibrationCandidate Describe(Verdict verdict, CandidateResult result) => new(
        policyIndex: verdict.Candidate.PolicyIndex,
        lambda: _options.Grid[verdict.Candidate.GridIndex],
        meanLoss: result.Losses.Average(),
        pValue: _options.Procedure == RiskProcedure.ConformalRiskControl ? double.NaN : verdict.Value,
        meanExitLayer: result.MeanExitLayer,
        operations: result.Operations,
        passed: verdict.Passed);
}
