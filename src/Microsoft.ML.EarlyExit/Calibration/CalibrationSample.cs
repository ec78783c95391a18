using System.Globalization;
using Microsoft.ML.EarlyExit.Calibration.Procedures;
using Microsoft.ML.EarlyExit.Calibration.Statistics;

namespace Microsoft.ML.EarlyExit.Calibration;

/// <summary>The prompts of a calibration: enough of them, and split where the procedure orders candidates by their costs.</summary>
/// <param name="Tested">The prompts that candidates are tested on.</param>
/// <param name="HeldOut">Those that give the costs; none with the other procedures.</param>
internal sealed record CalibrationSample(CalibrationPrompt[] Tested, CalibrationPrompt[] HeldOut)
{
    /// <summary>Splits prompts, and checks that they can certify something.</summary>
    /// <param name="options">What is calibrated.</param>
    /// <param name="candidates">All candidates.</param>
    /// <param name="prompts">The prompts.</param>
    /// <exception cref="InvalidOperationException">There are too few prompts, and the message says how many are needed.</exception>
    public static CalibrationSample Create(
        ExitCalibrationEstimator.Options options, IReadOnlyList<Candidate> candidates, IReadOnlyList<CalibrationPrompt> prompts)
    {
        if (prompts.Count < 2)
        {
            throw new InvalidOperationException(
                prompts.Count == 0
                    ? "There is no prompt to calibrate on: the data is empty."
                    : "There is one prompt to calibrate on; one says nothing about others.");
        }

        CalibrationSample sample = Split(options, prompts);
        CheckCount(options, candidates, sample.Tested.Length);
        return sample;
    }

    private static CalibrationSample Split(ExitCalibrationEstimator.Options options, IReadOnlyList<CalibrationPrompt> prompts)
    {
        if (options.Procedure != RiskProcedure.FixedSequenceByCost)
            return new CalibrationSample([.. prompts], []);
        CalibrationPrompt[] shuffled = [.. prompts];
        new Random(options.Seed).Shuffle(shuffled);
        int count = (int)Math.Round(shuffled.Length * options.HeldOutFraction);
        return count > 0
            ? new CalibrationSample(shuffled[count..], shuffled[..count])
            : throw new InvalidOperationException(
                $"HeldOutFraction {options.HeldOutFraction} of {prompts.Count} prompts is none; give more prompts, or a larger fraction.");
    }

    private static void CheckCount(ExitCalibrationEstimator.Options options, IReadOnlyList<Candidate> candidates, int tested)
    {
        long? needed;
        string share = "";
        if (options.Procedure == RiskProcedure.ConformalRiskControl)
        {
            needed = ConformalRiskControl.SmallestRowCount(options.Delta);
        }
        else
        {
            double level = LearnThenTest.Level(options.Procedure, candidates, options.Epsilon);
            needed = options.Test.SmallestRowCount(options.Delta, level);
            if (level != options.Epsilon)
                share = string.Create(CultureInfo.InvariantCulture, $" (at {level:G4} for each of the tests together)");
        }

        if (needed <= tested)
            return;
        throw new InvalidOperationException(string.Create(
            CultureInfo.InvariantCulture,
            $"{tested} prompts can never certify δ = {options.Delta} at ε = {options.Epsilon}{share}, whatever is generated: even without any loss at least "
            + $"{needed?.ToString(CultureInfo.InvariantCulture) ?? $"{RiskTests.MostRows}"} are needed. Give more prompts, or a larger δ or ε."));
    }
}
