namespace Microsoft.ML.EarlyExit.Evaluation.Metrics;

/// <summary>What every metric asks of its arguments.</summary>
internal static class MetricArguments
{
    public static void Check(string prediction, ReadOnlySpan<string> references)
    {
        ArgumentNullException.ThrowIfNull(prediction);
        if (references.IsEmpty)
            throw new ArgumentException("There is no reference to score the prediction against; give at least one, which may be empty.", nameof(references));
        for (int i = 0; i < references.Length; i++)
        {
            if (references[i] is null)
                throw new ArgumentNullException(nameof(references), $"Reference {i} is null; leave it out, or give an empty text.");
        }
    }
}
