using System.Diagnostics;
using System.Globalization;

namespace Microsoft.ML.EarlyExit.Benchmarks;

/// <summary>
/// Parallel decoding and self-speculation at batch 8, where rows run several positions at a time, against full depth; and against another build of this
/// library, in turns with it.
/// </summary>
internal static class PositionsComparison
{
    private const int Rounds = 3;
    private const int Rows = 16;
    private const int BatchSize = 8;
    private const int NewTokens = 24;

    /// <summary>
    /// Measures a model, <c>demo</c>, <c>small</c>, <c>base</c> or <c>large</c>; where <paramref name="others"/> has another build of this program (its .dll),
    /// beside that.
    /// </summary>
    /// <param name="model">The model.</param>
    /// <param name="others">The other build, or none.</param>
    /// <param name="busy">Whether others use the machine: one thread is then measured, by the time that it has had of a processor.</param>
    public static int Run(string model, string[] others, bool busy)
    {
        BenchmarkModels.Load(model).Dispose();
        using var ours = new Worker(typeof(PositionsComparison).Assembly.Location, model, busy);
        using Worker? other = others is [string path] ? new Worker(path, model, busy) : null;
        string beside = other is null ? "" : " | other build: tokens/s | times as fast | equal rows";
        Console.WriteLine($"{model}, batch {BatchSize}: policy | mean exit | tokens/s | against full depth{beside}");
        double full = 0;
        for (int policy = 0; policy < PolicyNames.Length; policy++)
        {
            (double seconds, string[] rows) = (double.PositiveInfinity, []);
            (double otherSeconds, string[] otherRows) = (double.PositiveInfinity, []);
            // The best of some rounds in turns: a slow moment of the machine then hits neither alone.
            for (int round = 0; round <= Rounds; round++)
            {
                (double took, rows) = ours.Generate(policy);
                (double otherTook, otherRows) = other?.Generate(policy) ?? default;
                // The first warms up.
                if (round > 0)
                    (seconds, otherSeconds) = (Math.Min(seconds, took), Math.Min(otherSeconds, otherTook));
            }

            string[][] fields = [.. rows.Select(row => row.Split(' '))];
            double speed = fields.Sum(row => row.Length - 1) / seconds;
            full = policy == 0 ? speed : full;
            double exit = fields.Average(row => double.Parse(row[0], CultureInfo.InvariantCulture));
            Console.Write(string.Create(CultureInfo.InvariantCulture, $"{PolicyNames[policy]} | {exit:F2} | {speed:F0} | {speed / full:F2}"));
            if (other is not null)
            {
                int equal = rows.Zip(otherRows, (one, two) => one == two).Count(isEqual => isEqual);
                double otherSpeed = otherRows.Sum(row => row.Split(' ').Length - 1) / otherSeconds;
                Console.Write(string.Create(CultureInfo.InvariantCulture, $" | {otherSpeed:F0} | {otherSeconds / seconds:F2} | {equal} of {rows.Length}"));
            }

            Console.WriteLine();
        }

        return 0;
    }

    /// <summary>Serves a comparison: for every line with a policy's number, a line with the seconds and one per row, its mean exit and ids.</summary>
    public static int Work(string name, bool busy)
    {
        using EarlyExitModel model = BenchmarkModels.Load(name, busy ? new EarlyExitModelOptions { ThreadCount = 1 } : null);
        GenerationInput[] inputs = name == BenchmarkModels.Demo ? [.. DemoPrompts.Test(Rows / 2).Select(GenerationInput.FromText)] : RandomInputs(model);
        ExitPolicy?[] policies = Policies(model, inputs);
        while (Console.ReadLine() is { } line)
        {
            TimeSpan start = Now();
            IReadOnlyList<GenerationResult> results = model.Generate(inputs, Options(policies[int.Parse(line, CultureInfo.InvariantCulture)]));
            Console.WriteLine((Now() - start).TotalSeconds.ToString("R", CultureInfo.InvariantCulture));
            foreach (GenerationResult result in results)
                Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{result.ExitLayers.Average()} {string.Join(' ', result.TokenIds)}"));
            Console.WriteLine();
        }

        return 0;

        TimeSpan Now() => busy ? Environment.CpuUsage.TotalTime : Stopwatch.GetElapsedTime(0);
    }

    private static string[] PolicyNames { get; } =
    [
        "full depth", "parallel decoding, one exit after a third, 3 of 4 tokens", "parallel decoding, one exit after a third, 1 of 2 tokens",
        "parallel decoding, asked after every layer from a third on",
        "self-speculation, exit after a third", "self-speculation, exit after a third, 4 drafts", "self-speculation, exit after two thirds, 4 drafts",
    ];

    private static ExitPolicy?[] Policies(EarlyExitModel model, GenerationInput[] inputs)
    {
        int third = model.Configuration.DecoderLayerCount / 3;
        var asking = new ExitPolicy { ShallowDeep = new ShallowDeep { ExitLayer = third }, Threshold = 1 };
        float[] confidences =
        [
            .. model.Generate(inputs, Options(asking) with { Trace = true }).SelectMany(row => row.Steps!).SelectMany(step => step.Evaluations)
                .Select(evaluation => evaluation.Confidence).Order(),
        ];
        var parallel = asking with { StatePropagation = StatePropagation.ParallelDecoding };
        return
        [
            null,
            parallel with { Threshold = confidences[confidences.Length / 4] },
            parallel with { Threshold = confidences[confidences.Length / 2] },
            new ExitPolicy
            {
                MinimumLayer = third,
                Threshold = confidences[confidences.Length / 2],
                Pruning = VocabularyPruning.Fixed(500),
                StatePropagation = StatePropagation.ParallelDecoding,
            },
            new ExitPolicy { StaticExitLayer = third, SelfSpeculation = new SelfSpeculation() },
            new ExitPolicy { StaticExitLayer = third, SelfSpeculation = new SelfSpeculation { DraftTokens = 4 } },
            new ExitPolicy { StaticExitLayer = 2 * third, SelfSpeculation = new SelfSpeculation { DraftTokens = 4 } },
        ];
    }

    private static TextGenerationOptions Options(ExitPolicy? policy) => new() { BatchSize = BatchSize, MaxNewTokens = NewTokens, Exit = policy };

    private static GenerationInput[] RandomInputs(EarlyExitModel model)
    {
        var random = new Random(1);
        return
        [
            .. Enumerable.Range(0, Rows).Select(_ => GenerationInput.FromTokenIds(
                [.. Enumerable.Range(0, random.Next(16, 96)).Select(_ => random.Next(3, model.Configuration.VocabularySize))])),
        ];
    }

    /// <summary>A build of this program in a process of its own.</summary>
    private sealed class Worker : IDisposable
    {
        private readonly Process _process;

        public Worker(string program, string model, bool busy)
        {
            var start = new ProcessStartInfo("dotnet", [program, busy ? "positions-busy-worker" : "positions-worker", model])
            {
                RedirectStandardInput = true,
                RedirectStandardOutput = true,
            };
            _process = Process.Start(start)!;
        }

        public (double Seconds, string[] Rows) Generate(int policy)
        {
            _process.StandardInput.WriteLine(policy.ToString(CultureInfo.InvariantCulture));
            _process.StandardInput.Flush();
            double seconds = double.Parse(Line(), CultureInfo.InvariantCulture);
            var rows = new List<string>();
            for (string row = Line(); row.Length > 0; row = Line())
                rows.Add(row);
            return (seconds, [.. rows]);
        }

        public void Dispose()
        {
            _process.StandardInput.Close();
            _process.WaitForExit();
            _process.Dispose();
        }

        private string Line() => _process.StandardOutput.ReadLine() ?? throw new InvalidOperationException("The other build ended.");
    }
}
