using System.Text.Json;
using Microsoft.ML.EarlyExit.Conversion;

namespace Microsoft.ML.EarlyExit.Benchmarks;

/// <summary>The traces of the paper's public code, with its deviations followed and without: how many sequences are the same, and what differs first in the
/// others.</summary>
internal static class TraceComparison
{
    private const float Tolerance = 1e-4f;

    public static int Run()
    {
        Console.WriteLine("| model | confidence | pruning | sequences | equal, ReferenceCompatible | equal without | first difference without |");
        Console.WriteLine("|---|---|---|---|---|---|---|");
        bool isEqual = true;
        foreach ((string file, string checkpoint) in new[] { ("tiny-v11", "test/fixtures/models/tiny-v11-exit"), ("restaurants", "samples/t5-restaurants") })
        {
            string bundle = Path.Combine(Path.GetTempPath(), $"early-exit-traces-{Guid.NewGuid():N}");
            T5Converter.Convert(Path.Combine(Repository.Folder, checkpoint), bundle);
            try
            {
                using EarlyExitModel model = EarlyExitModel.Load(bundle);
                using JsonDocument traces = JsonDocument.Parse(File.ReadAllBytes(
                    Path.Combine(Repository.Folder, "test", "fixtures", "seed-traces", file + ".json")));
                isEqual &= Compare(model, file, traces.RootElement);
            }
            finally
            {
                Directory.Delete(bundle, recursive: true);
            }
        }

        return isEqual ? 0 : 1;
    }

    private static bool Compare(EarlyExitModel model, string file, JsonElement traces)
    {
        bool isEqual = true;
        int maxNewTokens = traces.GetProperty("generation").GetProperty("max_new_tokens").GetInt32();
        GenerationInput[] inputs = [.. traces.GetProperty("prompts").EnumerateArray()
            .Select(prompt => GenerationInput.FromTokenIds(Ints(prompt.GetProperty("ids"))))];
        var groups = traces.GetProperty("configurations").EnumerateArray().Where(configuration => configuration.GetProperty("kind").GetString() == "early-exit")
            .GroupBy(configuration => (
                Confidence: configuration.GetProperty("confidence").GetString()!,
                Pruning: configuration.GetProperty("pruning").GetString()!,
                Decays: configuration.GetProperty("position_temperature").ValueKind == JsonValueKind.Number));
        foreach (var group in groups)
        {
            int total = 0;
            int[] equal = new int[2];
            var differences = new Dictionary<string, int>();
            foreach (JsonElement configuration in group)
            {
                total += configuration.GetProperty("sequences").GetArrayLength();
                foreach (bool compatible in new[] { true, false })
                {
                    var options = new TextGenerationOptions
                    {
                        MaxNewTokens = maxNewTokens,
                        RepetitionPenalty = configuration.GetProperty("repetition_penalty").GetSingle(),
                        BatchSize = 8,
                        Trace = true,
                        Exit = Policy(configuration) with { ReferenceCompatible = compatible },
                    };
                    IReadOnlyList<GenerationResult> results = model.Generate(inputs, options);
                    foreach (JsonElement sequence in configuration.GetProperty("sequences").EnumerateArray())
                    {
                        string? difference = Difference(sequence, results[sequence.GetProperty("prompt").GetInt32()].Steps!);
                        if (difference is null)
                            equal[compatible ? 0 : 1]++;
                        else if (!compatible)
                            differences[difference] = differences.GetValueOrDefault(difference) + 1;
                    }
                }
            }

            isEqual &= equal[0] == total;
            string first = string.Join(", ", differences.OrderByDescending(pair => pair.Value).Select(pair => $"{pair.Key} {pair.Value}"));
            string decay = group.Key.Decays ? ", decaying threshold" : "";
            Console.WriteLine($"| {file} | {group.Key.Confidence}{decay} | {group.Key.Pruning} | {total} | {equal[0]} | {equal[1]} | {first} |");
        }

        return isEqual;
    }

    /// <summary>What differs first before the sequence's first near-tie; null where nothing does.</summary>
    private static string? Difference(JsonElement sequence, IReadOnlyList<GenerationStep> ours)
    {
        int index = 0;
        foreach (JsonElement step in sequence.GetProperty("steps").EnumerateArray())
        {
            if (step.TryGetProperty("near_ties", out _))
                return null;
            if (index >= ours.Count)
                return "length";
            GenerationStep own = ours[index++];
            bool isLoose = step.TryGetProperty("list_gap", out JsonElement gap) && gap.ValueKind == JsonValueKind.Number && gap.GetDouble() < 1e-4;
            JsonElement[] confidences = [.. step.GetProperty("confidences").EnumerateArray()];
            int[] rows = Ints(step.GetProperty("rows"));
            for (int at = 0; at < Math.Min(confidences.Length, own.Evaluations.Count); at++)
            {
                if (confidences[at].ValueKind == JsonValueKind.Null)
                    continue;
                if (rows[at] != own.Evaluations[at].Rows && !isLoose)
                    return "rows";
                if (!(Math.Abs(confidences[at].GetSingle() - own.Evaluations[at].Confidence) <= (isLoose ? 1e-2f : Tolerance)))
                    return "confidence";
            }

            if (step.GetProperty("exit").GetInt32() != own.ExitLayer)
                return "exit layer";
            if (step.GetProperty("token").GetInt32() != own.TokenId)
                return "token";
        }

        return null;
    }

    private static ExitPolicy Policy(JsonElement configuration) => new()
    {
        MinimumLayer = configuration.GetProperty("min_layer").GetInt32(),
        Threshold = configuration.GetProperty("threshold").GetSingle(),
        ThresholdTemperature = configuration.GetProperty("position_temperature") is { ValueKind: JsonValueKind.Number } temperature
            ? temperature.GetSingle()
            : 0,
        Confidence = configuration.GetProperty("confidence").GetString() switch
        {
            "weighted" => Confidence.WeightedContrastive(),
            "jsd" => Confidence.JsdContrastive(),
            _ => Confidence.SoftmaxMargin,
        },
        Pruning = configuration.GetProperty("pruning").GetString() switch
        {
            "fixed" => VocabularyPruning.Fixed(),
            "decaying" => VocabularyPruning.Decaying(),
            "adaptive" => VocabularyPruning.Adaptive(),
            _ => VocabularyPruning.None,
        },
    };

    private static int[] Ints(JsonElement array) => [.. array.EnumerateArray().Select(element => element.GetInt32())];
}
