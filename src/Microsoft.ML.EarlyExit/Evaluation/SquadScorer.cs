namespace Microsoft.ML.EarlyExit;

/// <summary>SQuAD v1.1's exact match and F1.</summary>
internal static class SquadScorer
{
    public static SquadScore Score(string prediction, params ReadOnlySpan<string> answers) => throw new NotImplementedException();
}
