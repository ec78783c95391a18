using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using Microsoft.ML.EarlyExit.Calibration;
using Microsoft.ML.EarlyExit.Calibration.Procedures;
using Microsoft.ML.EarlyExit.Calibration.Statistics;

namespace Microsoft.ML.EarlyExit.Benchmarks;

/// <summary>
/// Calibrations of the demo model on prompts it has not seen, split at random into halves, a hundred times: what each measure is certified for on one half, and
/// what that comes to on the other. The losses of every threshold are computed once; a split only chooses rows.
/// </summary>
internal static class CalibrationTable
{
    private const int Splits = 100;
    private const double Epsilon = 0.05;
    private const int MinimumLayer = 2;
    private const int TrainingPrompts = 200;

    // Above it no half can pass, whatever the split.
    private const double HopelessLoss = 0.125;

    private static readonly double[] s_deltas = [0.05, 0.1];

    // The default grid, finer near 1, where some measures have most of their tokens.
    private static readonly float[] s_grid = [1, 0.9999f, 0.9995f, 0.999f, 0.998f, 0.995f, 0.99f, 0.985f, .. ThresholdGrid.Default.Skip(1)];

    public static int Run(int describePrompts)
    {
        using EarlyExitModel model = BenchmarkModels.Load(BenchmarkModels.Demo);
        int layers = model.Configuration.DecoderLayerCount;
        bool isKept = true;
        Console.WriteLine(
            $"| task | measure | δ | λ | mean exit of {layers} | certified: mean loss | p-value | other half: mean loss | mean exit "
            + $"| of {Splits} splits: certified λ, median and range | other half above δ, % |");
        Console.WriteLine("|---|---|---|---|---|---|---|---|---|---|---|");
        (string, CalibrationLoss)[] tasks = [("describe", CalibrationLoss.RougeL), ("question", CalibrationLoss.TokenF1)];
        foreach ((string task, CalibrationLoss loss) in tasks)
        {
            CalibrationPrompt[] prompts = Read(model, task, task == "describe" ? describePrompts : int.MaxValue);
            foreach ((string name, ExitPolicy policy, int skip) in Measures(model, task, prompts))
            {
                long started = Stopwatch.GetTimestamp();
                LossTable table = Measure(model, policy, loss, prompts[skip..]);
                foreach (double delta in s_deltas)
                    isKept &= Report($"{task}, {loss.Name} | {name}", table, delta);
                double seconds = Stopwatch.GetElapsedTime(started).TotalSeconds;
                Console.Error.WriteLine(FormattableString.Invariant(
                    $"// {task}, {name}: {table.Losses.Count} thresholds on {prompts.Length - skip} prompts in {seconds:F0} s"));
            }
        }

        Console.WriteLine(isKept ? "All promises are kept." : "More splits lose more than they may than ε allows.");
        return isKept ? 0 : 1;
    }

    private static IEnumerable<(string Name, ExitPolicy Policy, int Skip)> Measures(EarlyExitModel model, string task, CalibrationPrompt[] prompts)
    {
        yield return ("softmaxMargin", new ExitPolicy { MinimumLayer = MinimumLayer }, 0);
        yield return ("softmaxMargin, decaying", new ExitPolicy { MinimumLayer = MinimumLayer, Pruning = VocabularyPruning.Decaying() }, 0);
        yield return ("hiddenStateSaturation", new ExitPolicy { MinimumLayer = MinimumLayer, Confidence = Confidence.HiddenStateSaturation }, 0);
        yield return ("weightedContrastive, decaying", Contrastive(Confidence.WeightedContrastive()), 0);
        yield return ("jsdContrastive, adaptive", Contrastive(Confidence.JsdContrastive()) with { Pruning = VocabularyPruning.Adaptive() }, 0);

        // Trained on prompts that are neither calibrated nor tested on.
        var context = new MLContext(seed: 1);
        ExitClassifier classifier = context.TextGeneration.TrainExitClassifier(
            context.Data.LoadFromEnumerable(ReadTexts(task, TrainingPrompts).Select(text => new Prompt { Text = text })),
            new ExitClassifierOptions { Model = model, InputColumnName = nameof(Prompt.Text), MinimumLayer = MinimumLayer });
        yield return (
            $"classifier, trained on {TrainingPrompts} others",
            new ExitPolicy { MinimumLayer = MinimumLayer, Confidence = classifier.Confidence }, Math.Min(TrainingPrompts, prompts.Length / 2));
    }

    private static ExitPolicy Contrastive(Confidence confidence) => new() { MinimumLayer = 4, Confidence = confidence, Pruning = VocabularyPruning.Decaying() };

    private static LossTable Measure(EarlyExitModel model, ExitPolicy policy, CalibrationLoss loss, CalibrationPrompt[] prompts)
    {
        using var runner = new CandidateRunner(model, new TextGenerationOptions { BatchSize = 8 }, prompts, CancellationToken.None);
        CandidateOutput[] full = runner.Run(null, null);
        CandidateOutput[]? outputs = null;
        var table = new LossTable([], [], []);
        foreach (float lambda in s_grid)
        {
            outputs = runner.Run(policy with { Threshold = lambda }, outputs);
            CandidateOutput[] current = outputs;
            table.Losses.Add([.. prompts.Select((_, row) => loss.Compute(new CalibrationOutcome(current[row].Text, full[row].Text, [])))]);
            table.Exits.Add([.. current.Select(output => (output.Layers, output.Tokens))]);
            table.Grid.Add(lambda);
            if (table.Losses[^1].Average() > HopelessLoss)
                break;
        }

        return table;
    }

    private static bool Report(string name, LossTable table, double delta)
    {
        int count = table.Losses[0].Length;
        var chosen = new List<float>();
        int violations = 0;
        string first = "";
        for (int split = 0; split < Splits; split++)
        {
            int[] rows = [.. Enumerable.Range(0, count)];
            new Random(split).Shuffle(rows);
            int[] calibration = rows[..(count / 2)];
            int[] test = rows[(count / 2)..];
            Verdict[] passed =
            [
                .. FixedSequence.Walk(
                        Candidate.All(1, table.Losses.Count), Epsilon,
                        candidate => RiskTest.HoeffdingBentkus.PValue([.. calibration.Select(row => table.Losses[candidate.GridIndex][row])], delta, Epsilon))
                    .Where(verdict => verdict.Passed),
            ];
            int index = passed.Length - 1;
            double realised = index < 0 ? 0 : test.Average(row => table.Losses[index][row]);
            violations += realised > delta ? 1 : 0;
            chosen.Add(index < 0 ? float.NaN : table.Grid[index]);
            if (split == 0)
            {
                first = index < 0
                    ? "never | | | | | |"
                    : string.Create(
                        CultureInfo.InvariantCulture,
                        $"{table.Grid[index]:0.####} | {MeanExit(table, index, calibration):F2} | {calibration.Average(row => table.Losses[index][row]):F4} | "
                        + $"{passed[index].Value:G2} | {realised:F4} | {MeanExit(table, index, test):F2} |");
            }
        }

        float[] sorted = [.. chosen.Where(lambda => !float.IsNaN(lambda)).Order()];
        string range = sorted.Length == 0
            ? "never"
            : FormattableString.Invariant($"{sorted[sorted.Length / 2]:0.00##}, {sorted[0]:0.00##} to {sorted[^1]:0.00##}");
        Console.WriteLine(FormattableString.Invariant($"| {name} | {delta} | {first} {range} | {violations * 100.0 / Splits:F0} |"));

        // The other half's mean is an estimate itself, and the splits share their rows: a generous margin.
        return violations <= Splits * (Epsilon + (3 * Math.Sqrt(Epsilon * (1 - Epsilon) / Splits)));
    }

    private static double MeanExit(LossTable table, int index, int[] rows) =>
        (double)rows.Sum(row => table.Exits[index][row].Layers) / rows.Sum(row => table.Exits[index][row].Tokens);

    private static CalibrationPrompt[] Read(EarlyExitModel model, string task, int count) =>
    [
        .. ReadTexts(task, count).Select((text, row) =>
            new CalibrationPrompt(row, model.Prepare(GenerationInput.FromText(text), new TextGenerationOptions()), [])),
    ];

    private static IEnumerable<string> ReadTexts(string task, int count) => ((string[])["calibration", "test"])
        .SelectMany(part => File.ReadLines(Path.Combine(Repository.Folder, "test", "fixtures", "demo", $"{task}-{part}.jsonl")))
        .Take(count)
        .Select(line => JsonDocument.Parse(line).RootElement.GetProperty("text").GetString()!);

    /// <summary>Losses and exits of every prompt, threshold after threshold.</summary>
    private sealed record LossTable(List<float> Grid, List<double[]> Losses, List<(long Layers, int Tokens)[]> Exits);

    private sealed class Prompt
    {
        public string Text { get; set; } = "";
    }
}
