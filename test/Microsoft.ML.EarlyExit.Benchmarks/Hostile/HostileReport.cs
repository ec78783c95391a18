using System.Globalization;

namespace Microsoft.ML.EarlyExit.Benchmarks;

/// <summary>What came of a campaign: counts by outcome, and every cause of failure once.</summary>
internal sealed class HostileReport
{
    private const int LongestMessage = 300;

    private readonly Lock _lock = new();
    private readonly List<HostileResult> _results = [];

    public bool HasFailures => _results.Any(result => result.IsFailure);

    public void Add(HostileResult result)
    {
        lock (_lock)
        {
            _results.Add(result);
            if (result.IsFailure)
                Console.Error.WriteLine($"{result.Name}: {result.Answer.Outcome} {result.Answer.Type}, {Shorten(result.Answer.Message)} ({result.Changes})");
            if (_results.Count % 500 == 0)
                Console.Error.WriteLine($"{_results.Count} inputs");
        }
    }

    /// <summary>Prints the tables.</summary>
    /// <param name="growths">How often a worker was replaced because it had grown.</param>
    public void Write(int growths)
    {
        Console.WriteLine(
            "| kind | inputs | accepted | refused | row error | undocumented | crash "
            + "| hang | above 1 GB | poor message | files left | peak, MB | slowest, s |");
        Console.WriteLine("|---|---|---|---|---|---|---|---|---|---|---|---|---|");
        foreach (IGrouping<string, HostileResult> kind in _results.GroupBy(result => result.Kind).OrderBy(kind => kind.Key, StringComparer.Ordinal))
            WriteRow(kind.Key, [.. kind]);
        WriteRow("all", _results);
        Console.WriteLine();
        Console.WriteLine("| kind | refused with | inputs |");
        Console.WriteLine("|---|---|---|");
        foreach (var group in _results.Where(result => result.Answer.Outcome == HostileOutcome.Refused)
            .GroupBy(result => (result.Kind, result.Answer.Type)).OrderBy(group => group.Key))
            Console.WriteLine($"| {group.Key.Kind} | {group.Key.Type} | {group.Count()} |");
        if (growths > 0)
            Console.WriteLine($"\nWorkers replaced because they had grown: {growths}.");
        WriteCauses("Failures", _results.Where(result => result.IsFailure));
        WriteCauses("Poor messages", _results.Where(result => result.HasPoorMessage));
        WriteCauses("Files left", _results.Where(result => result.Answer.Left.Length > 0));
    }

    private static void WriteCauses(string title, IEnumerable<HostileResult> results)
    {
        IGrouping<string, HostileResult>[] causes =
            [.. results.GroupBy(result => result.Cause).OrderByDescending(cause => cause.First().Answer.Outcome).ThenByDescending(cause => cause.Count())];
        if (causes.Length == 0)
            return;
        Console.WriteLine($"\n{title}, each cause once:\n");
        foreach (IGrouping<string, HostileResult> cause in causes)
        {
            HostileResult first = cause.First();
            Console.WriteLine(string.Create(
                CultureInfo.InvariantCulture,
                $"- {cause.Count()} × {cause.Key}; `--only {first.Name}` ({first.Changes}), {first.Time.TotalSeconds:F1} s: {Shorten(first.Answer.Message)}"));
        }
    }

    private static void WriteRow(string name, IReadOnlyList<HostileResult> results)
    {
        int[] counts = [.. Enum.GetValues<HostileOutcome>().Select(outcome => results.Count(result => result.Answer.Outcome == outcome))];
        int poor = results.Count(result => result.HasPoorMessage);
        int left = results.Count(result => result.Answer.Left.Length > 0);
        long peak = results.Select(result => result.Answer.PeakBytes).DefaultIfEmpty().Max() >> 20;
        double slowest = results.Select(result => result.Time).DefaultIfEmpty().Max().TotalSeconds;
        Console.WriteLine(string.Create(
            CultureInfo.InvariantCulture, $"| {name} | {results.Count} | {string.Join(" | ", counts)} | {poor} | {left} | {peak} | {slowest:F1} |"));
    }

    private static string Shorten(string text)
    {
        string line = text.ReplaceLineEndings(" ");
        return line.Length <= LongestMessage ? line : line[..LongestMessage] + "…";
    }
}
