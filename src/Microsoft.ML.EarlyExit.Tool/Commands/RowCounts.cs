using Microsoft.ML.EarlyExit.Reproduction.Output;
using Microsoft.ML.EarlyExit.Tool.Rows;

namespace Microsoft.ML.EarlyExit.Tool.Commands;

/// <summary>What is said of the rows that a command has written.</summary>
internal static class RowCounts
{
    /// <summary>Says why rows failed, and how many were written and how many of them are errors.</summary>
    public static void SayDone(MessageWriter messages, RowOutcome outcome)
    {
        outcome.SayReasons();
        messages.Say(outcome.Errors > 0
            ? $"Wrote {GenerationRun.CountRows(outcome.Rows)}; {outcome.Errors} of them "
                + $"{(outcome.Errors == 1 ? "is an error and says" : "are errors and say")} why."
            : $"Wrote {GenerationRun.CountRows(outcome.Rows)}.");
    }

    /// <summary>Says where the rows are that were written before something went wrong.</summary>
    public static void SayInterrupted(MessageWriter messages, long rows, PartialFile? file) => messages.Say(
        $"{GenerationRun.CountRows(rows)} finished before "
        + $"{(file is null ? "went to standard output." : $"stay in '{file.Path}': the same command with {ResumeOption.Name} goes on from there.")}");

    /// <summary>Says that a run goes on with the rows that an interrupted one left, or moves them out of the way: nobody asked to lose them.</summary>
    /// <param name="messages">Standard error.</param>
    /// <param name="outputPath">The file that the run is to write.</param>
    /// <param name="resumes">Whether this run goes on with them.</param>
    /// <param name="rows">How many it found done.</param>
    public static void KeepLeft(MessageWriter messages, string outputPath, bool resumes, long rows)
    {
        string path = PartialFile.PathOf(outputPath);
        if (resumes && rows > 0)
            messages.Say($"Going on behind {GenerationRun.CountRows(rows)} of '{path}'.");
        if (resumes || new FileInfo(path) is not { Exists: true, Length: > 0 })
            return;
        int number = 1;
        while (Path.Exists($"{path}.{number}"))
            number++;
        File.Move(path, $"{path}.{number}");
        messages.Say($"The rows that an interrupted run left in '{path}' are in '{path}.{number}' now; {ResumeOption.Name} would have gone on with them.");
    }
}
