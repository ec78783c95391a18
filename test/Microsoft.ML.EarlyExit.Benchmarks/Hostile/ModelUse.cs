using Microsoft.ML.EarlyExit.Scoring;

namespace Microsoft.ML.EarlyExit.Benchmarks;

/// <summary>Uses a model that was loaded: generates with every kind of policy, streams, and scores.</summary>
internal static class ModelUse
{
    private const int MostTokens = 4;

    /// <summary>MB for one row, so that one of thousands of ids runs and longer ones are refused, far below what an input may take.</summary>
    private const int MostMemory = 64;

    private const int LongestInput = 100_000;

    /// <summary>Uses the model, and checks what must hold whatever its weights are.</summary>
    /// <returns>A row's error; null where there was none.</returns>
    public static string? Run(EarlyExitModel model, HostileRandom random)
    {
        var options = new TextGenerationOptions
        {
            MaxNewTokens = MostTokens, BatchSize = 1 + random.Next(3), Exit = Policy(model.Configuration, random), Truncate = random.Chance(50),
        };
        bool isLong = random.Chance(8);
        if (isLong)
            options = options with { MaxInputTokens = LongestInput, EncoderMemoryMB = MostMemory };
        var inputs = new List<GenerationInput> { Ids(model, random), Ids(model, random) };
        if (isLong)
            inputs.Add(Ids(model, random, random.Pick([1000, 1500, 5000, LongestInput])));
        if (model.Tokenizer is not null)
            inputs.Add(GenerationInput.FromText(isLong
                ? string.Concat(Enumerable.Repeat("the pub ", random.Pick([300, 3000, 50_000])))
                : HostileTexts.Next(random)));
        string? error = null;
        foreach (GenerationResult result in model.Generate(inputs, options))
        {
            error ??= result.Error;
            BrokenResultException.Unless(
                result.StopReason == StopReason.Error == (result.Error is not null), "an error without a reason, or a reason without an error");
            BrokenResultException.Unless(result.TokenIds.Count == result.ExitLayers.Count && result.TokenIds.Count <= MostTokens, "too many tokens");
            BrokenResultException.Unless(result.TokenIds.All(id => id >= 0 && id < model.Configuration.VocabularySize), "an id outside of the vocabulary");
            BrokenResultException.Unless(
                result.ExitLayers.All(layer => layer >= 1 && layer <= model.Configuration.DecoderLayerCount), "an exit layer that is none");
        }

        if (random.Chance(40))
        {
            using var scorer = new LayerScorer(model, null);
            error ??= scorer.Score(Ids(model, random), Ids(model, random, isLong ? random.Pick([1000, 20_000]) : null), options).Error;
        }

        return error;
    }

    private static GenerationInput Ids(EarlyExitModel model, HostileRandom random, int? length = null) =>
        GenerationInput.FromTokenIds([.. Enumerable.Range(0, length ?? 1 + random.Next(12)).Select(_ => random.Next(model.Configuration.VocabularySize))]);

    private static ExitPolicy? Policy(T5Configuration configuration, HostileRandom random)
    {
        int layer = 1 + random.Next(configuration.DecoderLayerCount);
        return random.Next(10) switch
        {
            0 => null,
            1 => new ExitPolicy { Threshold = 0.2f },
            2 => new ExitPolicy { StaticExitLayer = layer },
            3 => new ExitPolicy { StaticExitLayer = layer, SelfSpeculation = new SelfSpeculation { DraftTokens = 2 } },
            4 => new ExitPolicy { MinimumLayer = layer, Confidence = Confidence.JsdContrastive(), Pruning = VocabularyPruning.Adaptive(0.5f, 5) },
            5 => new ExitPolicy { Threshold = 0.1f, Confidence = Confidence.WeightedContrastive(), Pruning = VocabularyPruning.Fixed(10) },
            6 => new ExitPolicy { Threshold = 0.5f, Confidence = Confidence.HiddenStateSaturation, StatePropagation = StatePropagation.ParallelDecoding },
            7 => new ExitPolicy { Threshold = 0.3f, Pruning = VocabularyPruning.Decaying(50, 3) },
            8 => new ExitPolicy { Threshold = 0.2f, StatePropagation = StatePropagation.ParallelDecoding },
            _ => new ExitPolicy { Threshold = 0.2f, SelfSpeculation = new SelfSpeculation() },
        };
    }
}
