namespace Microsoft.ML.EarlyExit.Reproduction;

/// <summary>The quality of a cell by one metric, in percent: the mean over the sample, in which a row that failed counts 0.</summary>
internal sealed record MetricSummary(string Name, Estimate Percent);
