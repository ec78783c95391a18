using System.Diagnostics;

namespace Microsoft.ML.EarlyExit.Benchmarks;

/// <summary>What confidences cost on the shape of T5-large, with random weights: at threshold 1 one is evaluated for every token after every layer from the
/// minimum on, and no token exits early.</summary>
internal static class ConfidenceCost
{
    private const int MinimumLayer = 7;
    private const int Tokens = 48;
    private const int Rounds = 3;

    public static int Run()
    {
        using EarlyExitModel model = BenchmarkModels.Load(BenchmarkModels.Large);
        var random = new Random(1);
        GenerationInput[] inputs = [GenerationInput.FromTokenIds([.. Enumerable.Range(0, 128).Select(_ => random.Next(3, 32000))])];
        var evaluated = new ExitPolicy { MinimumLayer = MinimumLayer, Threshold = 1 };
        (string Name, ExitPolicy? Policy)[] policies =
        [
            ("full depth, no confidence", null),
            ("softmaxMargin, none", evaluated),
            ("softmaxMargin, fixed", evaluated with { Pruning = VocabularyPruning.Fixed() }),
            ("softmaxMargin, decaying", evaluated with { Pruning = VocabularyPruning.Decaying() }),
            ("softmaxMargin, adaptive", evaluated with { Pruning = VocabularyPruning.Adaptive() }),
            ("jsdContrastive, decaying", evaluated with { Confidence = Confidence.JsdContrastive(), Pruning = VocabularyPruning.Decaying() }),
            ("hiddenStateSaturation", evaluated with { Confidence = Confidence.HiddenStateSaturation }),
        ];
        foreach ((_, ExitPolicy? policy) in policies)
            model.WarmUp(new TextGenerationOptions { Exit = policy });
        double[] speeds = new double[policies.Length];
        for (int round = 0; round <= Rounds; round++)
        {
            for (int index = 0; index < policies.Length; index++)
            {
                var options = new TextGenerationOptions { MaxNewTokens = Tokens, MinNewTokens = Tokens, Exit = policies[index].Policy };
                var watch = Stopwatch.StartNew();
                model.Generate(inputs, options);

                // The first round has code compiled.
                if (round > 0)
                    speeds[index] = Math.Max(speeds[index], Tokens / watch.Elapsed.TotalSeconds);
            }
        }

        Console.WriteLine("| confidence, pruning | tokens/s | against full depth |");
        Console.WriteLine("|---|---|---|");
        for (int index = 0; index < policies.Length; index++)
            Console.WriteLine(FormattableString.Invariant($"| {policies[index].Name} | {speeds[index]:F1} | {speeds[index] / speeds[0]:F2} |"));
        return 0;
    }
}
