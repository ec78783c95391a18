namespace Microsoft.ML.EarlyExit.Benchmarks;

/// <summary>One input of a campaign and what came of it.</summary>
internal sealed record HostileResult(string Kind, ulong Seed, string Changes, HostileAnswer Answer, TimeSpan Time)
{
    private static readonly string[] s_programmersAdvice =
        ["reader options", "BytePositionInLine", "LineNumber:", "Path: $", "System.", "JsonSerializer", "AllowTrailingCommas", "Object reference"];

    /// <summary>What <c>--only</c> takes.</summary>
    public string Name => $"{Kind}:{Seed:x16}";

    public bool IsFailure => Answer.Outcome > HostileOutcome.RowError;

    /// <summary>Whether a refusal says nothing, or what only programmers of the library can use.</summary>
    public bool HasPoorMessage => Answer.Outcome is HostileOutcome.Refused or HostileOutcome.RowError
        && (string.IsNullOrWhiteSpace(Answer.Message) || s_programmersAdvice.Any(advice => Answer.Message.Contains(advice, StringComparison.Ordinal)));

    /// <summary>Failures with one cause have it in common: the outcome, the type, and where in the library it was thrown.</summary>
    public string Cause => $"{Kind} {Answer.Outcome} {Answer.Type} {StackTraces.Place(Answer.Stack)}";
}
