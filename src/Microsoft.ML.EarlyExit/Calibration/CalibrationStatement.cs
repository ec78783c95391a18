using System.Globalization;

namespace Microsoft.ML.EarlyExit.Calibration;

/// <summary>What a certificate says in sentences.</summary>
/// <param name="Text">The guarantee, or that there is none, and why.</param>
/// <param name="HasNothingToLose">Whether it says nothing of the policy, since no text could lose more than δ.</param>
internal sealed record CalibrationStatement(string Text, bool HasNothingToLose)
{
    /// <summary>States what was found.</summary>
    /// <param name="options">What was calibrated.</param>
    /// <param name="prompts">The prompts that were tested on.</param>
    /// <param name="fullTexts">The full model's texts of the prompts.</param>
    /// <param name="candidates">The candidates that were tested.</param>
    /// <param name="chosen">The one that is certified; null for none.</param>
    public static CalibrationStatement Create(
        ExitCalibrationEstimator.Options options, CalibrationPrompt[] prompts, string[] fullTexts, IReadOnlyList<CalibrationCandidate> candidates,
        CalibrationCandidate? chosen)
    {
        string guarantee = chosen is null
            ? DescribeFailure(options, prompts.Length, candidates)
            : options.Procedure == RiskProcedure.ConformalRiskControl
                ? DescribeConformal(options, prompts.Length, chosen)
                : DescribeGuarantee(options, prompts.Length, chosen);
        IEnumerable<string> texts = fullTexts.Concat(options.Loss.NeedsReferences ? prompts.SelectMany(prompt => prompt.References) : []);
        string? nothing = chosen is null ? null : DescribeNothingToLose(options, prompts, fullTexts);
        return new CalibrationStatement(guarantee + LossTexts.DescribeUnspaced(options.Loss, texts) + nothing, nothing is not null);
    }

    private static string DescribeFailure(ExitCalibrationEstimator.Options options, int count, IReadOnlyList<CalibrationCandidate> candidates)
    {
        CalibrationCandidate best = candidates.MinBy(candidate => candidate.MeanLoss)!;
        return string.Create(
            CultureInfo.InvariantCulture,
            $"Nothing is certified, so no token may exit early: of {candidates.Count} candidates on {count} prompts none passed; the smallest mean "
            + $"{options.Loss.Description} loss was {best.MeanLoss:0.####} (λ = {best.Lambda}) against δ = {options.Delta}.");
    }

    private static string DescribeConformal(ExitCalibrationEstimator.Options options, int count, CalibrationCandidate chosen) => string.Create(
        CultureInfo.InvariantCulture,
        $"With threshold {chosen.Lambda}, the expected {options.Loss.Description} loss of a new prompt is at most {options.Delta}, on average over "
        + $"the draw of the {count} calibration prompts and of the new one, if all are exchangeable and no prompt's loss falls with the threshold "
        + $"(conformal risk control).");

    private static string DescribeGuarantee(ExitCalibrationEstimator.Options options, int count, CalibrationCandidate chosen)
    {
        string policy = options.Policies.Count == 1 ? "" : string.Create(CultureInfo.InvariantCulture, $" of policy {chosen.PolicyIndex}");
        return string.Create(
            CultureInfo.InvariantCulture,
            $"With probability at least {Complement(options.Epsilon)} over the draw of the {count} calibration prompts, the expected "
            + $"{options.Loss.Description} loss of a new prompt from the same source is at most {options.Delta} with threshold {chosen.Lambda}{policy}, "
            + $"if all are independent draws ({Describe(options.Test)}, {Describe(options.Procedure)}).");
    }

    /// <summary>1 - ε in at most six decimals where they are exact, and otherwise as this difference: rounded up it would promise too much.</summary>
    private static string Complement(double epsilon)
    {
        decimal exact = decimal.Round((decimal)epsilon, 6);
        return (double)exact == epsilon
            ? (1 - exact).ToString("0.######", CultureInfo.InvariantCulture)
            : string.Create(CultureInfo.InvariantCulture, $"1 - {epsilon}");
    }

    /// <summary>What has to be said where the full model's texts score so little that no text whatever could lose more than δ; null elsewhere.</summary>
    private static string? DescribeNothingToLose(ExitCalibrationEstimator.Options options, CalibrationPrompt[] prompts, string[] fullTexts)
    {
        if (options.Loss.FullScore is not { } score)
            return null;
        double mean = prompts.Select((prompt, row) => score(new CalibrationOutcome("", fullTexts[row], prompt.References))).Average();
        return mean > options.Delta
            ? null
            : string.Create(
                CultureInfo.InvariantCulture,
                $" But the full model's own texts score {mean:0.####} on average, not more than δ, and none can lose more than that: "
                + $"any text at all would pass, and this says nothing of the policy. Look at the references, or take a smaller δ.");
    }

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
}
