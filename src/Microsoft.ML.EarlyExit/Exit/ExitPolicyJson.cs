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
        WriteConfidence(writer, policy.Confidence);
        if (policy.Pruning is not NoPruning || !policy.FullVocabularyAtLastLayer)
        {
            writer.WriteStartObject("pruning");
            WritePruning(writer, policy.Pruning);
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
        policy = fields.SetUnlessNull(policy, "thresholds", p => p with { Thresholds = fields.GetSingles("thresholds") });
        policy = fields.Set(policy, "thresholdTemperature", p => p with { ThresholdTemperature = fields.GetSingle("thresholdTemperature") });
        policy = policy with { Confidence = ReadConfidence(fields) };
        policy = fields.SetUnlessNull(policy, "staticExitLayer", p => p with { StaticExitLayer = fields.GetInt32("staticExitLayer") });
        policy = fields.SetUnlessNull(policy, "statePropagation", p => p with
        {
            StatePropagation = Choose(
                fields, "statePropagation", ("stateCopy", () => StatePropagation.StateCopy), ("parallelDecoding", () => StatePropagation.ParallelDecoding)),
        });
        if (fields.Has("pruning"))
        {
            bool isWholeAtLastLayer = true;
            VocabularyPruning pruning = fields.GetObject("pruning", cut =>
            {
                isWholeAtLastLayer = !cut.Has("fullVocabularyAtLastLayer") || cut.GetBoolean("fullVocabularyAtLastLayer");
                return ReadPruning(cut);
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

    /// <summary>Reads the measure that the fields of an object, a policy among others, say.</summary>
    internal static Confidence ReadConfidence(JsonFields fields)
    {
        ContrastiveOptions? contrastive = fields.Has("contrastive") ? fields.GetObject("contrastive", ReadContrastive) : null;
        Confidence? classifier = fields.Has("classifier") ? ReadClassifier(fields) : null;
        Confidence confidence = fields.Set(Confidence.SoftmaxMargin, "confidence", _ => ReadConfidence(fields, contrastive, classifier));
        if (classifier is not null && confidence is not Classifier)
            throw fields.Refuse("classifier", $"it needs confidence classifier, not {confidence.Name}");
        if (confidence is not ContrastiveConfidence && contrastive is not null && contrastive != new ContrastiveOptions())
            throw fields.Refuse("contrastive", $"it needs confidence weightedContrastive or jsdContrastive, not {confidence.Name}");
        return confidence;
    }

    /// <summary>Writes the fields that <see cref="ReadConfidence(JsonFields)"/> reads.</summary>
    internal static void WriteConfidence(Utf8JsonWriter writer, Confidence confidence)
    {
        writer.WriteString("confidence", confidence.Name);
        if (confidence is ContrastiveConfidence contrastive)
            WriteContrastive(writer, contrastive.Options);
        if (confidence is Classifier classifier)
            WriteClassifier(writer, classifier.Probe);
    }

    private static Confidence ReadConfidence(JsonFields fields, ContrastiveOptions? contrastive, Confidence? classifier) => Choose(
        fields,
        "confidence",
        ("softmaxMargin", () => Confidence.SoftmaxMargin),
        ("hiddenStateSaturation", () => Confidence.HiddenStateSaturation),
        ("classifier", () => classifier ?? throw fields.Refuse("confidence", "it needs the field classifier, with weights and biases")),
        ("weightedContrastive", () => Confidence.WeightedContrastive(contrastive)),
        ("jsdContrastive", () => Confidence.JsdContrastive(contrastive)));

    private static ContrastiveOptions ReadContrastive(JsonFields fields)
    {
        var options = new ContrastiveOptions();
        options = fields.Set(options, "alpha", o => o with { Alpha = fields.GetSingle("alpha") });
        options = fields.Set(options, "alphaSchedule", o => o with
        {
            AlphaSchedule = Choose(fields, "alphaSchedule", ("constant", () => AlphaSchedule.Constant), ("hyperbolic", () => AlphaSchedule.Hyperbolic)),
        });
        options = fields.Set(options, "decayRate", o => o with { DecayRate = fields.GetSingle("decayRate") });
        options = fields.Set(options, "plausibility", o => o with { PlausibilityFromPruning = Choose(fields, "plausibility", ("head", () => false), ("pruning", () => true)) });
        options = fields.Set(options, "amateurs", o => o with
        {
            Amateurs = Choose(fields, "amateurs", ("fromMinimumLayer", () => AmateurLayers.FromMinimumLayer), ("all", () => AmateurLayers.All)),
        });
        options = fields.SetUnlessNull(options, "headWeight", o => o with
        {
            HeadWeight = Choose(fields, "headWeight", ("one", () => HeadWeight.One), ("headMass", () => HeadWeight.HeadMass)),
        });
        return fields.Set(options, "token", o => o with
        {
            Token = Choose(fields, "token", ("expert", () => ContrastiveToken.Expert), ("contrastive", () => ContrastiveToken.Contrastive)),
        });
    }

    private static void WriteContrastive(Utf8JsonWriter writer, ContrastiveOptions options)
    {
        writer.WriteStartObject("contrastive");
        writer.WriteNumber("alpha", options.Alpha);
        writer.WriteString("alphaSchedule", options.AlphaSchedule == AlphaSchedule.Constant ? "constant" : "hyperbolic");
        writer.WriteNumber("decayRate", options.DecayRate);
        writer.WriteString("plausibility", options.PlausibilityFromPruning ? "pruning" : "head");
        writer.WriteString("amateurs", options.Amateurs == AmateurLayers.All ? "all" : "fromMinimumLayer");
        if (options.HeadWeight is { } headWeight)
            writer.WriteString("headWeight", headWeight == HeadWeight.One ? "one" : "headMass");
        writer.WriteString("token", options.Token == ContrastiveToken.Expert ? "expert" : "contrastive");
        writer.WriteEndObject();
    }

    /// <summary>Reads the pruning that the fields of an object are.</summary>
    internal static VocabularyPruning ReadPruning(JsonFields fields)
    {
        string kind = fields.Has("kind") ? fields.GetString("kind") : "none";
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
        if (kind == "decaying" && k is not null)
            throw fields.Refuse("k", "a decaying pruning follows kMax and kMin; leave k out");
        return kind switch
        {
            "none" => VocabularyPruning.None,
            "fixed" => new FixedPruning(k, kMax, kMin),
            "decaying" => new DecayingPruning(kMax, kMin),
            "adaptive" => new AdaptivePruning(scale, k, kMax, kMin),
            _ => throw fields.Refuse("kind", "it must be none, fixed, decaying or adaptive"),
        };
    }

    /// <summary>Writes the fields that <see cref="ReadPruning"/> reads.</summary>
    internal static void WritePruning(Utf8JsonWriter writer, VocabularyPruning pruning)
    {
        (int? k, int kMax, int kMin, float scale) = pruning switch
        {
            FixedPruning cut => (cut.K, cut.KMax, cut.KMin, VocabularyPruning.Defaults.Scale),
            DecayingPruning cut => (null, cut.KMax, cut.KMin, VocabularyPruning.Defaults.Scale),
            AdaptivePruning cut => (cut.K, cut.KMax, cut.KMin, cut.Scale),
            NoPruning => (null, VocabularyPruning.Defaults.LargestAlive, VocabularyPruning.Defaults.SmallestAlive, VocabularyPruning.Defaults.Scale),
            _ => throw new ArgumentOutOfRangeException(nameof(pruning), pruning.Kind, "The pruning has no form in policy files."),
        };
        writer.WriteString("kind", pruning.Kind);
        if (k is not null)
            writer.WriteNumber("k", k.Value);
        writer.WriteNumber("kMax", kMax);
        writer.WriteNumber("kMin", kMin);
        writer.WriteNumber("scale", scale);
    }

    private static ShallowDeep ReadShallowDeep(JsonFields fields)
    {
        int exitLayer = fields.GetInt32("exitLayer");
        ShallowDeep shallowDeep = fields.Set(new ShallowDeep { ExitLayer = 1 }, "exitLayer", s => s with { ExitLayer = exitLayer });
        return fields.Set(shallowDeep, "adaptiveThreshold", s => s with { AdaptiveThreshold = fields.GetBoolean("adaptiveThreshold") });
    }

    private static SelfSpeculation ReadSelfSpeculation(JsonFields fields) =>
        fields.SetUnlessNull(new SelfSpeculation(), "draftTokens", s => s with { DraftTokens = fields.GetInt32("draftTokens") });

    private static Confidence ReadClassifier(JsonFields fields)
    {
        Confidence? classifier = null;
        fields.Set(true, "classifier", _ => fields.GetObject("classifier", probe =>
        {
            classifier = Confidence.Classifier(probe.GetSingleRows("weights"), probe.GetSingles("biases"));
            return true;
        }));
        return classifier!;
    }

    private static void WriteClassifier(Utf8JsonWriter writer, ClassifierProbe probe)
    {
        writer.WriteStartObject("classifier");
        writer.WriteStartArray("weights");
        for (int row = 0; row < probe.RowCount; row++)
        {
            writer.WriteStartArray();
            foreach (float weight in probe.Weights(row))
                writer.WriteNumberValue(weight);
            writer.WriteEndArray();
        }

        writer.WriteEndArray();
        writer.WriteStartArray("biases");
        foreach (float bias in probe.Biases)
            writer.WriteNumberValue(bias);
        writer.WriteEndArray();
        writer.WriteEndObject();
    }

    /// <summary>What the field's name stands for.</summary>
    private static T Choose<T>(JsonFields fields, string name, params ReadOnlySpan<(string Name, Func<T> Value)> choices)
    {
        string given = fields.GetString(name);
        foreach ((string choice, Func<T> value) in choices)
        {
            if (choice == given)
                return value();
        }

        var names = new List<string>();
        foreach ((string choice, _) in choices)
            names.Add(choice);
        throw fields.Refuse(name, $"it must be {string.Join(", ", names[..^1])} or {names[^1]}");
    }
}
