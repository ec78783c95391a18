using Microsoft.ML.EarlyExit.Calibration.Procedures;

namespace Microsoft.ML.EarlyExit.Reproduction.Figures;

/// <summary>The figure of a certificate: risk, p-value and mean exit layer against the threshold.</summary>
internal static class CertificateFigure
{
    public static LineFigure Create(CalibrationCertificate certificate)
    {
        IGrouping<int, CalibrationCandidate>[] policies = [.. certificate.Candidates.GroupBy(candidate => candidate.PolicyIndex)];
        string chosen = certificate.Lambda is { } lambda ? FormattableString.Invariant($"λ = {lambda} is certified") : "nothing is certified";
        var panels = new List<LineFigure.Panel>
        {
            new($"mean {certificate.Loss} loss", [.. Lines(candidate => candidate.MeanLoss), Border("δ", certificate.Delta)]),
        };
        if (certificate.Candidates.Any(candidate => !double.IsNaN(candidate.PValue)))
        {
            Candidate[] tested = [.. certificate.Candidates.Select((candidate, index) => new Candidate(candidate.PolicyIndex, index))];
            double level = LearnThenTest.Level(certificate.Procedure, tested, certificate.Epsilon);
            panels.Add(new LineFigure.Panel("p-value", [.. Lines(candidate => candidate.PValue), Border("level of a test", level)]));
        }

        panels.Add(new LineFigure.Panel("mean exit layer", [.. Lines(candidate => candidate.MeanExitLayer)]));
        return new LineFigure("certificate", FormattableString.Invariant($"Calibration on {certificate.PromptCount} prompts: {chosen}"), "threshold λ", panels);

        IEnumerable<LineFigure.Line> Lines(Func<CalibrationCandidate, double> value) => policies.Select(policy => new LineFigure.Line(
            Name(certificate.Policies[policy.Key], policy.Key),
            [.. policy.OrderBy(candidate => candidate.Lambda).Select(candidate => ((double)candidate.Lambda, value(candidate)))]));

        LineFigure.Line Border(string name, double value) =>
            new(name, [(certificate.Candidates.Min(candidate => candidate.Lambda), value), (certificate.Candidates.Max(candidate => candidate.Lambda), value)]);

        string Name(ExitPolicy policy, int index) => certificate.Policies.Count == 1 ? policy.Confidence.Name : $"{index}: {policy.Confidence.Name}";
    }
}
