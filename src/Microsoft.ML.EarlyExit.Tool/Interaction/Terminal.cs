namespace Microsoft.ML.EarlyExit.Tool.Interaction;

/// <summary>The terminal that results are shown on.</summary>
/// <param name="UsesColours">Whether it shows colours, and whoever sits at it wants them.</param>
/// <param name="Keyboard">Its keys; null where standard input is something else.</param>
/// <param name="Interruption">Ctrl+C, while something is generated.</param>
internal sealed record Terminal(bool UsesColours, IKeyboard? Keyboard, Interruption Interruption)
{
    /// <summary>Whether the cursor can be moved within a line; otherwise lines are read as the system gives them.</summary>
    public bool MovesCursor { get; init; } = true;

    /// <summary>The process's terminal; null where standard output is none.</summary>
    public static Terminal? OfProcess(Interruption interruption)
    {
        if (Console.IsOutputRedirected)
            return null;
        bool movesCursor = OperatingSystem.IsWindows() || Environment.GetEnvironmentVariable("TERM") is not (null or "" or "dumb");
        // https://no-color.org
        bool wantsColours = string.IsNullOrEmpty(Environment.GetEnvironmentVariable("NO_COLOR"));
        return new Terminal(movesCursor && wantsColours, Console.IsInputRedirected ? null : new ConsoleKeyboard(), interruption) { MovesCursor = movesCursor };
    }
}
