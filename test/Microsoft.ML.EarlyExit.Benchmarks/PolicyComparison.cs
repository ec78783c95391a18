using System.Diagnostics;

namespace Microsoft.ML.EarlyExit.Benchmarks;

/// <summary>Every confidence measure with every pruning it goes with, at several thresholds, on the demo model's test prompts; full depth in the same
/// run.</summary>
internal static class PolicyComparison
{
    private const int MinimumLayer = 4;
    private const int Rounds = 2;

    public static int Run(int promptsPerTask)
    {
        using EarlyExitModel model = BenchmarkModels.Load(BenchmarkModels.Demo);
        GenerationInput[] prompts = [.. DemoPrompts.Test(promptsPerTask).Select(GenerationInput.FromText)];
        int layers = model.Configuration.DecoderLayerCount;
        (string Name, ExitPolicy? Policy)[] policies =
        [
            ("full depth", null),
            .. from measure in Measures()
               from pruning in measure.Prunings
               from threshold in (float[])[0.5f, 0.8f, 0.9f, 0.95f]
               select ($"{measure.Confidence.Name} | {pruning.Name} | {threshold}",
                   (ExitPolicy?)new ExitPolicy { MinimumLayer = MinimumLayer, Threshold = threshold, Confidence = measure.Confidence, Pruning = pruning }),
            .. from layer in (int[])[4, 6, 8]
               select (
                   $"self-speculation | static exit after {layer} | ",
                   (ExitPolicy?)new ExitPolicy { StaticExitLayer = layer, SelfSpeculation = new SelfSpeculation() }),
            .. from propagation in (StatePropagation[])[StatePropagation.StateCopy, StatePropagation.ParallelDecoding]
               select ($"softmaxMargin | one exit, {propagation} | 0.9",
                   (ExitPolicy?)new ExitPolicy { ShallowDeep = new ShallowDeep { ExitLayer = MinimumLayer }, StatePropagation = propagation }),
        ];

        var results = new IReadOnlyList<GenerationResult>[policies.Length];
        double[] speeds = new double[policies.Length];
        foreach ((_, ExitPolicy? policy) in policies)
            model.WarmUp(new TextGenerationOptions { Exit = policy });
        for (int round = 0; round < Rounds; round++)
        {
            for (int index = 0; index < policies.Length; index++)
            {
                var watch = Stopwatch.StartNew();
                results[index] = model.Generate(prompts, new TextGenerationOptions { Exit = policies[index].Policy });
                speeds[index] = Math.Max(speeds[index], results[index].Sum(row => row.TokenIds.Count) / watch.Elapsed.TotalSeconds);
            }
        }

        Console.WriteLine(
            $"| confidence | pruning | threshold | mean exit of {layers} | equal outputs, % | confidence MFLOP a token | tokens/s | against full depth |");
        Console.WriteLine("|---|---|---|---|---|---|---|---|");
        for (int index = 0; index < policies.Length; index++)
        {
            string name = policies[index].Policy is null ? "full depth | | " : policies[index].Name;
            int tokens = results[index].Sum(row => row.TokenIds.Count);
            double equal = results[index].Where((row, at) => row.TokenIds.SequenceEqual(results[0][at].TokenIds)).Count() * 100.0 / prompts.Length;
            double megaflops = results[index].Sum(row => row.Operations.Confidence) / 1e6 / tokens;
            double meanExit = results[index].SelectMany(row => row.ExitLayers).Average();
            Console.WriteLine(FormattableString.Invariant(
                $"| {name} | {meanExit:F2} | {equal:F0} | {megaflops:F1} | {speeds[index]:F0} | {speeds[index] / speeds[0]:F2} |"));
        }

        return 0;
    }

    private static IEnumerable<(Confidence Confidence, VocabularyPruning[] Prunings)> Measures()
    {
        VocabularyPruning[] all = [VocabularyPruning.None, VocabularyPruning.Fixed(), VocabularyPruning.Decaying(), VocabularyPruning.Adaptive()];
        yield return (Confidence.SoftmaxMargin, all);
        yield return (Confidence.WeightedContrastive(), all);
        yield return (Confidence.JsdContrastive(), all);
        yield return (Confidence.HiddenStateSaturation, [VocabularyPruning.None]);
    }
}
