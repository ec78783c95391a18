using System.Buffers;
using System.Text;
using System.Text.Json;

namespace Microsoft.ML.EarlyExit;

/// <summary>
/// Policy files: the JSON form of <see cref="ExitPolicy"/>. What excludes each other or depends on the model's depth is left to
/// <see cref="ExitPolicy.Validate"/>.
/// </summary>
internal static class ExitPolicyJson
{
    private static readonly Dictionary<string, StatePropagation> s_statePropagations = new(StringComparer.Ordinal)
    {
        ["stateCopy"] = StatePropagation.StateCopy,
        ["parallelDecoding"] = StatePropagation.ParallelDecoding,
    };

    /// <summary>Reads a policy.</summary>
    /// <param name="json">The file's text.</param>
    /// <param name="sourceName">The file's name, for messages.</param>
    /// <exception cref="InvalidDataException">A field is unknown, occurs twice, or has an impossible value or one that this version does not
    /// support.</exception>
    internal static ExitPolicy Parse(string json, string sourceName) => JsonFields.Parse(json, sourceName, Read);

    /// <inheritdoc cref="Parse(string, string)"/>
    internal static ExitPolicy Parse(Stream json, string sourceName) => JsonFields.Parse(json, sourceName, Read);

    /// <summary>Writes a policy so that <see cref="Parse(string, string)"/> reads the same one.</summary>
    internal static string Write(ExitPolicy policy)
    {
        var buffer = new ArrayBufferWriter<byte>();
        using (var writer = new Utf8JsonWriter(buffer, new JsonWriterOptions { Indented = true }))
        {
            writer.WriteStartObject();
            if (policy.HasMinimumLayer)
                writer.WriteNumber("minimumLayer", policy.MinimumLayer);
            if (policy.HasThreshold)
                writer.WriteNumber("threshold", policy.Threshold);
            if (policy.Thresholds is { } thresholds)
            {
                writer.WriteStartArray("thresholds");
                foreach (float threshold in thresholds)
                    writer.WriteNumberValue(threshold);
                writer.WriteEndArray();
            }

            writer.WriteNumber("thresholdTemperature", policy.ThresholdTemperature);
            writer.WriteString("confidence", policy.Confidence.Name);
            if (policy.StaticExitLayer is { } staticExitLayer)
                writer.WriteNumber("staticExitLayer", staticExitLayer);
            writer.WriteString("statePropagation", s_statePropagations.Single(pair => pair.Value == policy.StatePropagation).Key);
            writer.WriteEndObject();
        }

        return Encoding.UTF8.GetString(buffer.WrittenSpan);
    }

    private static ExitPolicy Read(JsonFields fields)
    {
        var policy = new ExitPolicy();
        policy = fields.Set(policy, "minimumLayer", p => p with { MinimumLayer = fields.GetInt32("minimumLayer") });
        policy = fields.Set(policy, "threshold", p => p with { Threshold = fields.GetSingle("threshold") });
        policy = fields.SetUnlessNull(policy, "thresholds", p => p with { Thresholds = fields.GetSingles("thresholds") });
        policy = fields.Set(policy, "thresholdTemperature", p => p with { ThresholdTemperature = fields.GetSingle("thresholdTemperature") });
        policy = fields.Set(policy, "confidence", p => p with { Confidence = ReadConfidence(fields) });
        policy = fields.SetUnlessNull(policy, "staticExitLayer", p => p with { StaticExitLayer = fields.GetInt32("staticExitLayer") });
        policy = fields.SetUnlessNull(policy, "statePropagation", p => p with { StatePropagation = ReadStatePropagation(fields) });

        if (fields.Has("contrastive"))
            fields.GetObject("contrastive", RefuseContrastive);
        if (fields.Has("pruning"))
            fields.GetObject("pruning", RefusePruning);
        fields.RequireDefault("classifier", "null");
        fields.RequireDefault("shallowDeep", "null");
        fields.RequireDefault("selfSpeculation", "null");
        fields.RequireDefault("referenceCompatible", "false");
        return policy;
    }

    private static Confidence ReadConfidence(JsonFields fields) =>
        Confidence.ByName.TryGetValue(fields.GetString("confidence"), out Confidence? confidence)
            ? confidence
            : throw fields.Refuse("confidence", $"this version supports {string.Join(", ", Confidence.ByName.Keys)}");

    private static StatePropagation ReadStatePropagation(JsonFields fields) =>
        s_statePropagations.TryGetValue(fields.GetString("statePropagation"), out StatePropagation propagation)
            ? propagation
            : throw fields.Refuse("statePropagation", $"it must be {string.Join(" or ", s_statePropagations.Keys)}");

    private static bool RefuseContrastive(JsonFields fields)
    {
        fields.RequireDefault("alpha", "0.1");
        fields.RequireDefault("alphaSchedule", "\"constant\"");
        fields.RequireDefault("decayRate", "0.1");
        fields.RequireDefault("plausibility", "\"head\"");
        fields.RequireDefault("amateurs", "\"fromMinimumLayer\"");
        fields.RequireDefault("headWeight", "null");
        fields.RequireDefault("token", "\"expert\"");
        return true;
    }

    private static bool RefusePruning(JsonFields fields)
    {
        fields.RequireDefault("kind", "\"none\"");
        fields.RequireDefault("k", "null");
        fields.RequireDefault("kMax", "35000");
        fields.RequireDefault("kMin", "250");
        fields.RequireDefault("scale", "0.9");
        fields.RequireDefault("fullVocabularyAtLastLayer", "true");
        return true;
    }
}
