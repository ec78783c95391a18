using System.Buffers;
using System.Text;
using System.Text.Json;
using Microsoft.ML.EarlyExit.Evaluation.Json;
using Microsoft.ML.EarlyExit.Exit.Confidences;
using Microsoft.ML.EarlyExit.Exit.Pruning;

namespace Microsoft.ML.EarlyExit.Exit;

/// <summary>
/// Policy files: the JSON form of <see cref="ExitPolicy"/>. What excludes each other or depends on the model's depth is left to
/// <see cref="ExitPolicy.Validate"/>.
/// </summary>
internal static class ExitPolicyJson
{
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
            Write(writer, policy);
        return Encoding.UTF8.GetString(buffer.WrittenSpan);
    }

    /// <summary>Writes the object that is the policy.</summary>
    internal static void Write(Utf8JsonWriter writer, ExitPolicy policy)
    {
        writer.WriteStartObject();
        if (policy.HasMinimumLayer)
            writer.WriteNumber("minimumLayer", policy.MinimumLayer);
        if (policy.AskLayers is { } askLayers)
        {
            writer.WriteStartArray("askLayers");
            foreach (int layer in askLayers)
                writer.WriteNumberValue(layer);
            writer.WriteEndArray();
        }

        if (policy.AskNearPrevious is { } askNearPrevious)
            writer.WriteNumber("askNearPrevious", askNearPrevious);
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
        policy.Confidence.Write(writer);
        if (policy.Pruning.Prunes || !policy.FullVocabularyAtLastLayer)
        {
            writer.WriteStartObject("pruning");
            policy.Pruning.Write(writer);
            writer.WriteBoolean("fullVocabularyAtLastLayer", policy.FullVocabularyAtLastLayer);
            writer.WriteEndObject();
        }

        if (policy.ShallowDeep is { } shallowDeep)
        {
            writer.WriteStartObject("shallowDeep");
            writer.WriteNumber("exitLayer", shallowDeep.ExitLayer);
            writer.WriteBoolean("adaptiveThreshold", shallowDeep.AdaptiveThreshold);
            writer.WriteEndObject();
        }

        if (policy.SelfSpeculation is { } speculation)
        {
            writer.WriteStartObject("selfSpeculation");
            if (speculation.DraftTokens is { } draftTokens)
                writer.WriteNumber("draftTokens", draftTokens);
            writer.WriteEndObject();
        }

        writer.WriteBoolean("referenceCompatible", policy.ReferenceCompatible);
        if (policy.StaticExitLayer is { } staticExitLayer)
            writer.WriteNumber("staticExitLayer", staticExitLayer);
        writer.WriteString("statePropagation", policy.StatePropagation == StatePropagation.StateCopy ? "stateCopy" : "parallelDecoding");
        writer.WriteEndObject();
    }

    /// <summary>Reads the policy that the fields of an object are.</summary>
    internal static ExitPolicy Read(JsonFields fields)
    {
        var policy = new ExitPolicy();
        policy = fields.Set(policy, "minimumLayer", p => p with { MinimumLayer = fields.GetInt32("minimumLayer") });
        policy = fields.Set(policy, "threshold", p => p with { Threshold = fields.GetSingle("threshold") });
        policy = fields.SetUnlessNull(policy, "askLayers", p => p with { AskLayers = fields.GetInt32s("askLayers") });
        policy = fields.SetUnlessNull(policy, "askNearPrevious", p => p with { AskNearPrevious = fields.GetInt32("askNearPrevious") });
        policy = fields.SetUnlessNull(policy, "thresholds", p => p with { Thresholds = fields.GetSingles("thresholds") });
        policy = fields.Set(policy, "thresholdTemperature", p => p with { ThresholdTemperature = fields.GetSingle("thresholdTemperature") });
        policy = policy with { Confidence = ConfidenceKind.Read(fields) };
        policy = fields.SetUnlessNull(policy, "staticExitLayer", p => p with { StaticExitLayer = fields.GetInt32("staticExitLayer") });
        policy = fields.SetUnlessNull(policy, "statePropagation", p => p with
        {
            StatePropagation = fields.GetChoice(
                "statePropagation", ("stateCopy", StatePropagation.StateCopy), ("parallelDecoding", StatePropagation.ParallelDecoding)),
        });
        if (fields.Has("pruning"))
        {
            bool isWholeAtLastLayer = true;
            VocabularyPruning pruning = fields.GetObject("pruning", cut =>
            {
                isWholeAtLastLayer = !cut.Has("fullVocabularyAtLastLayer") || cut.GetBoolean("fullVocabularyAtLastLayer");
                return PruningKind.Read(cut);
            });
            policy = policy with { Pruning = pruning, FullVocabularyAtLastLayer = isWholeAtLastLayer };
        }

        if (fields.Has("shallowDeep"))
            policy = policy with { ShallowDeep = fields.GetObject("shallowDeep", ReadShallowDeep) };
        policy = fields.Set(policy, "referenceCompatible", p => p with { ReferenceCompatible = fields.GetBoolean("referenceCompatible") });
        if (fields.Has("selfSpeculation"))
            policy = policy with { SelfSpeculation = fields.GetObject("selfSpeculation", ReadSelfSpeculation) };
        return policy;
    }

    private static ShallowDeep ReadShallowDeep(JsonFields fields)
    {
        int exitLayer = fields.GetInt32("exitLayer");
        ShallowDeep shallowDeep = fields.Set(new ShallowDeep { ExitLayer = 1 }, "exitLayer", s => s with { ExitLayer = exitLayer });
        return fields.Set(shallowDeep, "adaptiveThreshold", s => s with { AdaptiveThreshold = fields.GetBoolean("adaptiveThreshold") });
    }

    private static SelfSpeculation ReadSelfSpeculation(JsonFields fields) =>
        fields.SetUnlessNull(new SelfSpeculation(), "draftTokens", s => s with { DraftTokens = fields.GetInt32("draftTokens") });
}
