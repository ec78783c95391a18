namespace Microsoft.ML.EarlyExit.Calibration.Procedures;

/// <summary>A policy at a threshold of its grid: what a procedure lets pass or not.</summary>
/// <param name="PolicyIndex">The policy, from 0.</param>
/// <param name="GridIndex">The threshold: its index in the policy's grid, 0 being the highest.</param>
internal readonly record struct Candidate(int PolicyIndex, int GridIndex)
{
    /// <summary>Policy by policy, each down the same grid.</summary>
    public static Candidate[] All(int policies, int thresholds) =>
    [
        .. from policy in Enumerable.Range(0, policies)
           from threshold in Enumerable.Range(0, thresholds)
           select new Candidate(policy, threshold),
    ];
}
