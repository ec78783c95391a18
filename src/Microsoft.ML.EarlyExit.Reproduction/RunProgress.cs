using System.Diagnostics;
using Microsoft.ML.EarlyExit.Reproduction.Output;

namespace Microsoft.ML.EarlyExit.Reproduction;

/// <summary>Cells done of all, time spent, and time left, estimated from what the finished cells of this run cost.</summary>
internal sealed class RunProgress(MessageWriter messages, IReadOnlyList<PlannedCell> toDo, int kept)
{
    private readonly Stopwatch _watch = Stopwatch.StartNew();
    private readonly double _all = toDo.Sum(cell => cell.Weight);
    private double _done;
    private int _finished;

    /// <summary>Shows how far the running cell is.</summary>
    public void Show(PlannedCell cell, double share)
    {
        double done = _done + (share * cell.Weight);
        messages.ShowProgress(done / _all, $"{Cells}, {Times(done)}");
    }

    /// <summary>Counts a cell, and says so.</summary>
    public void Finish(PlannedCell cell, CellRecord record)
    {
        _done += cell.Weight;
        _finished++;
        if (!messages.IsTerminal)
            messages.Say($"{Cells}: {cell.Model}, {cell.Title}{Result(record)} in {record.Seconds:F1} s; {Times(_done)}");
    }

    private string Cells => $"{kept + _finished}/{kept + toDo.Count} cells";

    /// <summary>A duration in words.</summary>
    public static string Words(TimeSpan time) => time.TotalHours >= 1 ? $"{(int)time.TotalHours} h {time.Minutes:D2} min"
        : time.TotalMinutes >= 1 ? $"{time.Minutes} min {time.Seconds:D2} s" : $"{time.TotalSeconds:F0} s";

    private static string Result(CellRecord record) => record.Generation is not { } generation ? ""
        : $": {generation.Primary.Name} {generation.Primary.Percent.Value:F1}, mean exit {generation.MeanExitLayer:F2}"
            + $"{(generation.Errors == 0 ? "" : $", {generation.Errors} failed")}";

    private string Times(double done)
    {
        string left = done <= 0 ? "" : $", about {Words(_watch.Elapsed * ((_all - done) / done))} left";
        return $"{Words(_watch.Elapsed)} spent{left}";
    }
}
