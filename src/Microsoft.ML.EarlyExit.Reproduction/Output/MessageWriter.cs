namespace Microsoft.ML.EarlyExit.Reproduction.Output;

/// <summary>Standard error: whole lines, and on a terminal a progress bar that gives way to them.</summary>
internal sealed class MessageWriter(TextWriter writer, bool isTerminal)
{
    private const int BarWidth = 30;
    private string _bar = "";

    public TextWriter Writer => writer;

    /// <summary>Whether somebody watches.</summary>
    public bool IsTerminal => isTerminal;

    /// <summary>Writes one message.</summary>
    public void Say(string message)
    {
        ClearProgress();
        writer.WriteLine(message);
    }

    /// <summary>Draws the bar where standard error is a terminal.</summary>
    /// <param name="share">How much is done, from 0 to 1.</param>
    /// <param name="text">A few words after the bar.</param>
    public void ShowProgress(double share, string text)
    {
        if (!isTerminal)
            return;
        int filled = (int)(Math.Clamp(share, 0, 1) * BarWidth);
        string bar = $"[{new string('#', filled)}{new string('.', BarWidth - filled)}] {(int)(Math.Clamp(share, 0, 1) * 100),3}% {text}";
        // What does not fit into the line would begin another, which nothing takes away.
        bar = bar[..Math.Min(bar.Length, TerminalSize.Columns - 1)];
        if (bar == _bar)
            return;
        writer.Write($"\r{bar.PadRight(_bar.Length)}");
        _bar = bar;
    }

    /// <summary>Takes the bar away, so that other output can follow.</summary>
    public void ClearProgress()
    {
        if (_bar.Length == 0)
            return;
        writer.Write($"\r{new string(' ', _bar.Length)}\r");
        _bar = "";
    }
}
