using Microsoft.ML.EarlyExit.Reproduction.Output;
using Microsoft.ML.EarlyExit.Tool.Output;

namespace Microsoft.ML.EarlyExit.Tool.Rows;

/// <summary>How the rows of a command went: the first reasons of failed ones go to standard error, and the exit code tells scripts.</summary>
/// <param name="messages">Standard error.</param>
internal sealed class RowOutcome(MessageWriter messages)
{
    private const int ReasonsSaid = 3;

    private readonly List<string> _reasons = [];

    /// <summary>All rows.</summary>
    public long Rows { get; private set; }

    /// <summary>The rows that failed.</summary>
    public long Errors { get; private set; }

    /// <summary>Counts a row.</summary>
    /// <param name="error">Why it failed, naming it; null where it did not.</param>
    public void Add(string? error)
    {
        Rows++;
        if (error is null)
            return;
        Errors++;
        if (_reasons.Count < ReasonsSaid)
            _reasons.Add(error);
    }

    /// <summary>Says the first reasons.</summary>
    public void SayReasons()
    {
        foreach (string reason in _reasons)
            messages.Say(reason);
        if (Errors > _reasons.Count)
            messages.Say($"… and {Errors - _reasons.Count} more.");
    }

    /// <summary>What the process returns, now that the output is complete.</summary>
    /// <param name="isStrict">Whether one failed row is a failure; otherwise only where no row succeeded.</param>
    public int ToExitCode(bool isStrict) => Errors > 0 && (isStrict || Errors == Rows) ? ExitCode.Failed : ExitCode.Done;
}
