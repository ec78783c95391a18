using System.Diagnostics;
using Microsoft.ML.EarlyExit.Reproduction.Output;

namespace Microsoft.ML.EarlyExit.Reproduction;

/// <summary>Computes the cells that a folder lacks, and writes the report meanwhile and at the end.</summary>
internal sealed class ReproductionRun(
    MessageWriter messages, ReproductionFolder folder, ReproductionSettings settings, ReproductionSample sample, TextGenerationOptions options,
    IReadOnlyList<ReproductionPlan> plans, string command, CancellationToken cancellation)
{
    /// <summary>How old the report may be while cells are computed.</summary>
    private static readonly TimeSpan s_oldestReport = TimeSpan.FromSeconds(10);

    private readonly Dictionary<(string Model, string Name), CellRecord> _cells = [];
    private long _reported;

    /// <summary>Runs to the end.</summary>
    /// <param name="models">The loaded models, one for each plan; each is disposed after its last cell.</param>
    /// <param name="fingerprint">The settings' fingerprint.</param>
    public void Run(IReadOnlyList<EarlyExitModel> models, string fingerprint)
    {
        PlannedCell[] toDo = [.. plans.SelectMany(plan => plan.Cells).Where(cell => !IsKept(cell, fingerprint))];
        int kept = _cells.Count;
        if (kept > 0)
            messages.Say(toDo.Length == 0 ? $"All {kept} cells were finished before." : $"{kept} cells were finished before and are kept.");
        var progress = new RunProgress(messages, toDo, kept);
        WriteReport(withFigures: false);
        try
        {
            for (int index = 0; index < plans.Count; index++)
            {
                using EarlyExitModel model = models[index];
                Run(model, [.. toDo.Where(cell => cell.Model == plans[index].Model)], plans[index], fingerprint, progress);
            }
        }
        catch (Exception exception)
        {
            if (exception is OperationCanceledException)
                WriteReport(withFigures: false);
            messages.Say($"{_cells.Count} of {kept + toDo.Length} cells are finished and stay in '{folder.Name}'; the same command computes the rest.");
            throw;
        }

        WriteReport(withFigures: true);
    }

    private void Run(EarlyExitModel model, PlannedCell[] toDo, ReproductionPlan plan, string fingerprint, RunProgress progress)
    {
        var runner = new CellRunner(model, sample.Examples, options, settings.LatencyRows, settings.Data.Seed, fingerprint, cancellation);
        foreach (PlannedCell cell in toDo)
        {
            cancellation.ThrowIfCancellationRequested();
            CellRecord? fullDepth = cell.Kind == CellKind.FullDepth ? null : _cells[(plan.Model, ReproductionPlan.FullDepth)];
            CellRecord record = runner.Run(cell, fullDepth, share => progress.Show(cell, share));
            folder.Write(cell, record);
            _cells.Add((cell.Model, cell.Name), record);
            if (Stopwatch.GetElapsedTime(_reported) > s_oldestReport)
                WriteReport(withFigures: false);
            progress.Finish(cell, record);
        }
    }

    private bool IsKept(PlannedCell cell, string fingerprint)
    {
        CellRecord? record = folder.Read(
            cell, fingerprint, sample.Examples.Count, SampleQuality.MetricNames(sample.Examples[0].AreAnswers).Count, out string? damage);
        if (damage is not null)
            messages.Say($"The cell '{cell.Model}.{cell.Name}.json' is damaged and is computed again: {damage}");
        if (record is not null)
            _cells.Add((cell.Model, cell.Name), record);
        return record is not null;
    }

    private void WriteReport(bool withFigures)
    {
        new Report(new ReportData(settings, sample.Format, plans, _cells, command)).Write(folder, withFigures);
        _reported = Stopwatch.GetTimestamp();
    }
}
