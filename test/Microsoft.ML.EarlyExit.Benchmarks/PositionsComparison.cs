using System.Diagnostics;
using System.Globalization;

namespace Microsoft.ML.EarlyExit.Benchmarks;

/// <summary>
/// Parallel decoding and self-speculation at batch 8, where rows run several positions at a time, against full depth; and against another build of this
/// library, in turns with it. All rows get as many tokens, so that the batch stays full. The encoder's part, which no policy changes, is told by calls for one
/// token.
/// </summary>
internal static class PositionsComparison
{
    private const int Rounds = 3;
    private const int Rows = 8;
    private const int BatchSize = 8;
    private const int NewTokens = 32;

    /// <summary>
    /// Measures a model, <c>demo</c>, <c>wide</c>, <c>small</c>, <c>base</c> or <c>large</c>; where <paramref name="others"/> has another build of this
    /// program (its .dll), beside that.
    /// </summary>
    /// <param name="model">The model.</param>
    /// <param name="others">The other build, or none.</param>
    /// <param name="busy">Whether others use the machine: one thread is then measured, by the time that it has had of a processor.</param>
    public static int Run(string model, string[] others, bool busy)
    {
        BenchmarkModels.Load(model).Dispose();
        using var ours = new Worker(typeof(PositionsComparison).Assembly.Location, model, busy);
        using Worker? other = others is [string path] ? new Worker(path, model, busy) : null;
        string beside = other is null ? "" : " | other build: tokens/s | times as fast | after the first token | equal rows";
        Console.WriteLine($"{model}, batch {BatchSize}: policy | mean exit | tokens/s | against full depth{beside}");
        double full = 0;
        (Best firstToken, Best otherFirstToken) = Measure(policy: 0, newTokens: 1);
        for (int policy = 0; policy < PolicyNames.Length; policy++)
        {
            (Best one, Best otherOne) = Measure(policy, NewTokens);
            string[][] fields = [.. one.Rows.Select(row => row.Split(' '))];
            double tokens = fields.Sum(row => row.Length - 1);
            full = policy == 0 ? tokens / one.Seconds : full;
            double exit = fields.Average(row => double.Parse(row[0], CultureInfo.InvariantCulture));
            Console.Write(string.Create(
                CultureInfo.InvariantCulture, $"{PolicyNames[policy]} | {exit:F2} | {tokens / one.Seconds:F1} | {tokens / one.Seconds / full:F2}"));
            if (other is not null)
            {
                int equal = one.Rows.Zip(otherOne.Rows, (row, otherRow) => row == otherRow).Count(isEqual => isEqual);
                double otherSpeed = otherOne.Rows.Sum(row => row.Split(' ').Length - 1) / otherOne.Seconds;
                double later = (otherOne.Seconds - otherFirstToken.Seconds) / (one.Seconds - firstToken.Seconds);
                Console.Write(string.Create(
                    CultureInfo.InvariantCulture,
                    $" | {otherSpeed:F1} | {otherOne.Seconds / one.Seconds:F2} | {later:F2} | {equal} of {one.Rows.Length}"));
            }

            Console.WriteLine();
        }

        return 0;

        // The best of some rounds in turns: a slow moment of the machine then hits neither alone. The first warms up. Who begins changes too.
        (Best Ours, Best Other) Measure(int policy, int newTokens)
        {
            (Best best, Best otherBest) = (new Best(), new Best());
            for (int round = 0; round <= Rounds; round++)
            {
                foreach (bool isOurs in round % 2 == 0 ? new[] { true, false } : [false, true])
                {
                    if (isOurs)
                        best.Take(ours, policy, newTokens, isWarm: round > 0);
                    else if (other is not null)
                        otherBest.Take(other, policy, newTokens, isWarm: round > 0);
                }
            }

            return (best, otherBest);
        }
    }

    /// <summary>
    /// Serves a comparison: for every line with a policy's number and how many tokens a row may have, a line with the seconds and one per row, its mean exit and
    /// ids.
    /// </summary>
    public static int Work(string name, bool busy)
    {
        using EarlyExitModel model = BenchmarkModels.Load(name, busy ? new EarlyExitModelOptions { ThreadCount = 1 } : null);
        GenerationInput[] inputs = name switch
        {
            BenchmarkModels.Demo => [.. DemoPrompts.Test(Rows / 2).Select(GenerationInput.FromText)],
            BenchmarkModels.Wide => [.. DemoPrompts.Descriptions(Rows).Select(GenerationInput.FromText)],
            _ => RandomInputs(model),
        };
        ExitPolicy?[] policies = Policies(model, inputs);
        while (Console.ReadLine() is { } line)
        {
            int[] request = [.. line.Split(' ').Select(number => int.Parse(number, CultureInfo.InvariantCulture))];
            TextGenerationOptions options = Options(policies[request[0]]) with { MaxNewTokens = request[1], MinNewTokens = request[1] };
            TimeSpan start = Now();
            IReadOnlyList<GenerationResult> results = model.Generate(inputs, options);
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
        "parallel decoding, evaluated after every layer from a third on",
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

    private static TextGenerationOptions Options(ExitPolicy? policy) =>
        new() { BatchSize = BatchSize, MaxNewTokens = NewTokens, MinNewTokens = NewTokens, Exit = policy };

    private static GenerationInput[] RandomInputs(EarlyExitModel model)
    {
        var random = new Random(1);
        return
        [
            .. Enumerable.Range(0, Rows).Select(_ => GenerationInput.FromTokenIds(
                [.. Enumerable.Range(0, random.Next(16, 96)).Select(_ => random.Next(3, model.Configuration.VocabularySize))])),
        ];
    }

    /// <summary>The best time of one build under one policy, and the rows, which are the same every time.</summary>
    private sealed class Best
    {
        public double Seconds { get; private set; } = double.PositiveInfinity;

        public string[] Rows { get; private set; } = [];

        public void Take(Worker worker, int policy, int newTokens, bool isWarm)
        {
            (double seconds, Rows) = worker.Generate(policy, newTokens);
            if (isWarm)
                Seconds = Math.Min(Seconds, seconds);
        }
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

        public (double Seconds, string[] Rows) Generate(int policy, int newTokens)
        {
            _process.StandardInput.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{policy} {newTokens}"));
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
