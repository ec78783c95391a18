namespace Microsoft.ML.EarlyExit.Calibration;

/// <summary>How far a calibration is.</summary>
/// <param name="FinishedRuns">Runs over the prompts that are finished: full depth, and candidates.</param>
/// <param name="MostRuns">How many there are, unless a test ends a sequence before.</param>
/// <param name="Run">What is running.</param>
/// <param name="FinishedPrompts">Prompts of this run that are done.</param>
/// <param name="PromptCount">Its prompts.</param>
/// <param name="Elapsed">Time since the calibration began.</param>
/// <param name="MostLeft">How long it takes at most at the speed so far; null before the first run is finished.</param>
internal readonly record struct CalibrationProgress(
    int FinishedRuns, int MostRuns, string Run, int FinishedPrompts, int PromptCount, TimeSpan Elapsed, TimeSpan? MostLeft)
{
    /// <summary>The share that is done, if nothing ends before.</summary>
    public double Share => (FinishedRuns + ((double)FinishedPrompts / Math.Max(1, PromptCount))) / MostRuns;

    /// <summary>All of it in a few words.</summary>
    public override string ToString() =>
        $"{Run}: {FinishedPrompts} of {PromptCount} prompts; run {FinishedRuns + 1} of at most {MostRuns}; {Format(Elapsed)} spent"
        + (MostLeft is { } left ? $", at most {Format(left)} left" : "");

    private static string Format(TimeSpan time) =>
        time.TotalHours >= 1 ? $"{(int)time.TotalHours} h {time.Minutes} min"
        : time.TotalMinutes >= 1 ? $"{time.Minutes} min {time.Seconds} s"
        : $"{time.TotalSeconds:F0} s";
}
