namespace Microsoft.ML.EarlyExit.Testing;

/// <summary>What a <see cref="RiskMonitor"/> did over many simulated runs.</summary>
/// <param name="Early">The share of runs that declared drift before the mean loss changed.</param>
/// <param name="Found">The share of the other runs that declared it afterwards, within the rows watched.</param>
/// <param name="MedianDelay">The median number of rows it took after the change, those that did not find it counted as longer; null where that is most.</param>
internal sealed record DriftDetection(double Early, double Found, int? MedianDelay)
{
    /// <summary>Watches <paramref name="before"/> rows of one mean loss and up to <paramref name="after"/> rows of another.</summary>
    public static DriftDetection Simulate(LossShape shape, double delta, double alpha, double goodMean, int before, double badMean, int after, int repetitions)
    {
        int[] delays = new int[repetitions];
        Parallel.For(0, repetitions, repetition =>
        {
            var losses = new SimulatedLosses((repetition * 2003) + (before * 3) + (int)shape);
            var monitor = new RiskMonitor(delta, alpha);
            for (int row = 0; row < before && !monitor.HasDrifted; row++)
                monitor.Add(losses.Next(shape, goodMean));
            if (monitor.HasDrifted)
            {
                delays[repetition] = -1;
                return;
            }

            int delay = 0;
            while (delay < after && !monitor.HasDrifted)
            {
                delay++;
                monitor.Add(losses.Next(shape, badMean));
            }

            delays[repetition] = monitor.HasDrifted ? delay : int.MaxValue;
        });

        int[] later = [.. delays.Where(delay => delay >= 0).Order()];
        int median = later.Length == 0 ? int.MaxValue : later[later.Length / 2];
        return new DriftDetection(
            1 - ((double)later.Length / repetitions),
            later.Length == 0 ? 0 : (double)later.Count(delay => delay < int.MaxValue) / later.Length,
            median == int.MaxValue ? null : median);
    }
}
