using System.Text.Json;
using Microsoft.ML.EarlyExit.Evaluation.Json;

namespace Microsoft.ML.EarlyExit.Exit.Pruning;

/// <summary>The numbers that prunings are given, those that a kind does not take at their defaults.</summary>
internal sealed record PruningParameters(
    int? K = null,
    int KMax = VocabularyPruning.Defaults.LargestAlive,
    int KMin = VocabularyPruning.Defaults.SmallestAlive,
    float Scale = VocabularyPruning.Defaults.Scale)
{
    /// <summary>Reads the numbers among the fields of a pruning.</summary>
    /// <exception cref="InvalidDataException">A number is outside its range.</exception>
    public static PruningParameters Read(JsonFields fields)
    {
        int? k = fields.Has("k") ? fields.GetInt32("k") : null;
        int kMax = fields.Has("kMax") ? fields.GetInt32("kMax") : VocabularyPruning.Defaults.LargestAlive;
        int kMin = fields.Has("kMin") ? fields.GetInt32("kMin") : VocabularyPruning.Defaults.SmallestAlive;
        float scale = fields.Has("scale") ? fields.GetSingle("scale") : VocabularyPruning.Defaults.Scale;
        if (k < 2)
            throw fields.Refuse("k", "it must be at least 2");
        if (kMin < 2)
            throw fields.Refuse("kMin", "it must be at least 2");
        if (kMax < kMin)
            throw fields.Refuse("kMax", $"it must be at least kMin, which is {kMin}");
        if (scale is not (>= 0 and <= 1))
            throw fields.Refuse("scale", "it must be from 0 to 1");
        return new PruningParameters(k, kMax, kMin, scale);
    }

    /// <summary>Writes the fields that <see cref="Read"/> reads.</summary>
    public void Write(Utf8JsonWriter writer)
    {
        if (K is { } k)
            writer.WriteNumber("k", k);
        writer.WriteNumber("kMax", KMax);
        writer.WriteNumber("kMin", KMin);
        writer.WriteNumber("scale", Scale);
    }
}
