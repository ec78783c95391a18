namespace Microsoft.ML.EarlyExit.Tool;

/// <summary>What is said of the rows that a command has written.</summary>
internal static class RowCounts
{
    /// <summary>Says why rows failed, and how many were written and how many of them are errors.</summary>
    public static void SayDone(MessageWriter messages, RowOutcome outcome)
    {
        outcome.SayReasons();
        messages.Say(outcome.Errors > 0
            ? $"Wrote {GenerationRun.CountRows(outcome.Rows)}; {outcome.Errors} of them {(outcome.Errors == 1 ? "is an error and says" : "are errors and say")} why."
            : $"Wrote {GenerationRun.CountRows(outcome.Rows)}.");
    }

    /// <summary>Says where the rows are that were written before something went wrong.</summary>
    public static void SayInterrupted(MessageWriter messages, long rows, PartialFile? file) =>
        messages.Say($"{GenerationRun.CountRows(rows)} finished before {(file is null ? "went to standard output" : $"stay in '{file.Path}'")}.");
}
