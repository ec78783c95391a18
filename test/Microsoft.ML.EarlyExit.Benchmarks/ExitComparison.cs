using System.Diagnostics;

namespace Microsoft.ML.EarlyExit.Benchmarks;

/// <summary>The demo model on 200 of its test prompts: what early exit changes, every figure against full depth in the same run.</summary>
internal static class ExitComparison
{
    private const int Rounds = 3;
    private const int PromptsPerTask = 100;

    public static int Run()
    {
        using EarlyExitModel model = BenchmarkModels.Load(BenchmarkModels.Demo);
        GenerationInput[] prompts = [.. DemoPrompts.Test(PromptsPerTask).Select(GenerationInput.FromText)];
        int layers = model.Configuration.DecoderLayerCount;
        List<(string Name, ExitPolicy? Policy)> policies = [("full depth", null)];
        foreach (int minimumLayer in new[] { 2, 4, 6, 8, 10 })
            policies.Add(($"threshold 0.9, minimum layer {minimumLayer}", new ExitPolicy { MinimumLayer = minimumLayer, Threshold = 0.9f }));
        policies.Add(("threshold 1, minimum layer 1", new ExitPolicy { MinimumLayer = 1, Threshold = 1 }));
        foreach (int layer in new[] { 4, 8 })
            policies.Add(($"static exit after {layer}", new ExitPolicy { StaticExitLayer = layer }));

        foreach (int batchSize in new[] { 1, 8 })
        {
            Console.WriteLine($"batch {batchSize}: policy | mean exit of {layers} | equal outputs of {prompts.Length} | tokens/s | against full depth");
            var results = new IReadOnlyList<GenerationResult>[policies.Count];
            double[] speeds = new double[policies.Count];
            foreach ((_, ExitPolicy? policy) in policies)
                model.WarmUp(new TextGenerationOptions { BatchSize = batchSize, Exit = policy });
            // Rounds over all policies, the best of each: a slow moment of the machine then hits none alone.
            for (int round = 0; round < Rounds; round++)
            {
                for (int index = 0; index < policies.Count; index++)
                {
                    var options = new TextGenerationOptions { BatchSize = batchSize, Exit = policies[index].Policy };
                    var watch = Stopwatch.StartNew();
                    results[index] = model.Generate(prompts, options);
                    speeds[index] = Math.Max(speeds[index], results[index].Sum(row => row.TokenIds.Count) / watch.Elapsed.TotalSeconds);
                }
            }

            for (int index = 0; index < policies.Count; index++)
            {
                int equal = results[index].Where((row, at) => row.TokenIds.SequenceEqual(results[0][at].TokenIds)).Count();
                Console.WriteLine(
                    $"{policies[index].Name} | {results[index].SelectMany(row => row.ExitLayers).Average():F2} | {equal} "
                    + $"| {speeds[index]:F0} | {speeds[index] / speeds[0]:F2}");
            }
        }

        return 0;
    }
}
