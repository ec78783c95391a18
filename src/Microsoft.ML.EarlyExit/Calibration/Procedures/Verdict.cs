namespace Microsoft.ML.EarlyExit.Calibration.Procedures;

/// <summary>What a procedure says of a candidate that it tested.</summary>
/// <param name="Candidate">The candidate.</param>
/// <param name="Value">What decided: its p-value; with <see cref="ConformalRiskControl"/> its adjusted risk.</param>
/// <param name="Passed">Whether it passed.</param>
internal readonly record struct Verdict(Candidate Candidate, double Value, bool Passed)
{
    /// <summary>Asks for a candidate's value. It passes if that is at most the limit.</summary>
    /// <exception cref="ArgumentException">The value is NaN or outside [0, 1]; the message names the candidate.</exception>
    public static Verdict Of(Candidate candidate, double limit, Func<Candidate, double> valueOf)
    {
        double value = valueOf(candidate);
        if (!(value >= 0 && value <= 1))
        {
            throw new ArgumentException(
                $"The value of policy {candidate.PolicyIndex} at index {candidate.GridIndex} of its grid is {value:R}; it must be within [0, 1].",
                nameof(valueOf));
        }

        return new Verdict(candidate, value, value <= limit);
    }
}
