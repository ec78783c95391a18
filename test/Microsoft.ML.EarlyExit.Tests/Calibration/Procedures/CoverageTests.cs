namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>What calibration promises, on simulated losses whose true mean is known. Seeds are fixed, so that the shares are always the same.</summary>
public sealed class CoverageTests
{
    private const int Repetitions = 1000;

    public static TheoryData<int, double> Sizes => new() { { 50, 0.05 }, { 50, 0.1 }, { 50, 0.2 }, { 200, 0.05 }, { 200, 0.1 }, { 200, 0.2 }, { 1000, 0.1 } };

    [Theory]
    [MemberData(nameof(Sizes))]
    public void A_threshold_whose_risk_is_too_large_passes_no_more_often_than_epsilon(int rows, double delta)
    {
        foreach (LossShape shape in Enum.GetValues<LossShape>())
        {
            // Many rows only where it is hardest.
            foreach (RiskProfile profile in rows == 1000 ? [RiskProfile.Border] : Enum.GetValues<RiskProfile>())
            {
                foreach (Coverage coverage in Coverage.Simulate(shape, profile, rows, delta, [0.05, 0.1], Repetitions))
                {
                    Assert.True(
                        coverage.Violations <= Coverage.Allowed(coverage.Epsilon, Repetitions),
                        $"{coverage.Test}, {shape}, {profile}, {rows} rows, δ {delta}, ε {coverage.Epsilon}: {coverage.Violations}");
                }
            }
        }
    }

    [Theory]
    [InlineData(LossShape.Bernoulli, RiskTest.Binomial, 0.7)]
    [InlineData(LossShape.Beta, RiskTest.Wsr, 0.7)]
    [InlineData(LossShape.TwoPoint, RiskTest.HoeffdingBentkus, 0.5)]
    public void With_enough_rows_most_of_what_is_safe_passes(LossShape shape, RiskTest test, double power) =>
        Assert.InRange(
            Coverage.Simulate(shape, RiskProfile.Gradual, 1000, 0.2, [0.1], 100).Single(coverage => coverage.Test == test).Power,
            power,
            1);

    [Theory]
    [InlineData(LossShape.Bernoulli)]
    [InlineData(LossShape.Beta)]
    [InlineData(LossShape.TwoPoint)]
    [InlineData(LossShape.Mixture)]
    public void Without_drift_none_is_declared_in_more_runs_than_alpha(LossShape shape) =>
        Assert.InRange(DriftDetection.Simulate(shape, 0.1, 0.05, 0.1, 3000, 0.1, 0, Repetitions).Early, 0, Coverage.Allowed(0.05, Repetitions));

    [Theory]
    [InlineData(LossShape.Bernoulli, 0, 150)]
    [InlineData(LossShape.Bernoulli, 2000, 300)]
    [InlineData(LossShape.Beta, 2000, 150)]
    [InlineData(LossShape.Mixture, 2000, 300)]
    public void Drift_to_twice_delta_is_found(LossShape shape, int before, int delay)
    {
        DriftDetection detection = DriftDetection.Simulate(shape, 0.1, 0.05, 0.05, before, 0.2, 3000, 200);

        Assert.Equal(1, detection.Found, 0.01);
        Assert.InRange(detection.MedianDelay!.Value, 1, delay);
    }
}
