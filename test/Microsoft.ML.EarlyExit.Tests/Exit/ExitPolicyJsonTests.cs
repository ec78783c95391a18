using System.Text;
using FsCheck;
using FsCheck.Fluent;
using FsCheck.Xunit;
using Microsoft.ML.EarlyExit.Exit;

namespace Microsoft.ML.EarlyExit.Tests;

public class ExitPolicyJsonTests
{
    [Fact]
    public void An_empty_object_is_the_default_policy() => Assert.Equal(new ExitPolicy(), ExitPolicyJson.Parse("{}", "p.json"));

    [Fact]
    public void The_documented_defaults_are_the_default_policy()
    {
        ExitPolicy policy = ExitPolicyJson.Parse(
            """
            { "minimumLayer": 1, "askLayers": null, "askNearPrevious": null, "threshold": 0.9, "thresholds": null, "thresholdTemperature": 0, "confidence": "softmaxMargin",
              "contrastive": { "alpha": 0.10, "alphaSchedule": "constant", "decayRate": 0.1, "plausibility": "head", "amateurs": "fromMinimumLayer",
                               "headWeight": null, "token": "expert" },
              "pruning": { "kind": "none", "k": null, "kMax": 35000, "kMin": 250, "scale": 0.9, "fullVocabularyAtLastLayer": true },
              "statePropagation": "stateCopy", "classifier": null, "staticExitLayer": null, "shallowDeep": null, "selfSpeculation": null,
              "referenceCompatible": false }
            """,
            "p.json");

        Assert.Equal((1, 0.9f, 0f), (policy.MinimumLayer, policy.Threshold, policy.ThresholdTemperature));
        Assert.Null(policy.Thresholds);
        Assert.Null(policy.StaticExitLayer);
        Assert.Same(Confidence.SoftmaxMargin, policy.Confidence);
    }

    [Fact]
    public void Thresholds_are_read_from_a_stream_with_a_byte_order_mark()
    {
        byte[] json = [.. Encoding.UTF8.Preamble, .. """{ "thresholds": [1, 0.5, 1e-1], "thresholdTemperature": 4 }"""u8];
        ExitPolicy policy = ExitPolicyJson.Parse(new MemoryStream(json), "p.json");

        Assert.Equal([1f, 0.5f, 0.1f], policy.Thresholds!);
        Assert.Equal(4, policy.ThresholdTemperature);
        policy.Validate(TestModels.Model(TestModels.Exits).Configuration with { DecoderLayerCount = 3 });
    }

    [Theory]
    [InlineData("""{ "treshold": 0.5 }""", "treshold")]
    [InlineData("""{ "Threshold": 0.5 }""", "Threshold")]
    [InlineData("""{ "threshold": 0.5, "threshold": 0.6 }""", "threshold", "twice")]
    [InlineData("""{ "pruning": { "kind": "none", "kind": "none" } }""", "pruning.kind", "twice")]
    [InlineData("""{ "pruning": { "kMaximum": 3 } }""", "pruning.kMaximum")]
    [InlineData("""{ "minimumLayer": 0 }""", "minimumLayer", "0", "from 1")]
    [InlineData("""{ "minimumLayer": 1.5 }""", "minimumLayer", "1.5", "whole number")]
    [InlineData("""{ "minimumLayer": null }""", "minimumLayer", "null")]
    [InlineData("""{ "minimumLayer": 99999999999 }""", "minimumLayer", "99999999999")]
    [InlineData("""{ "askLayers": [] }""", "askLayers", "no layer")]
    [InlineData("""{ "askLayers": [0] }""", "askLayers", "from 1")]
    [InlineData("""{ "askLayers": [3, 2, 3] }""", "askLayers", "layer 3 twice")]
    [InlineData("""{ "askLayers": [2.5] }""", "askLayers", "2.5", "whole numbers")]
    [InlineData("""{ "askLayers": 2 }""", "askLayers", "array")]
    [InlineData("""{ "askNearPrevious": 0 }""", "askNearPrevious", "at least 1")]
    [InlineData("""{ "threshold": 1.01 }""", "threshold", "1.01", "0 to 1")]
    [InlineData("""{ "threshold": -1e400 }""", "threshold", "-1e400", "0 to 1")]
    [InlineData("""{ "threshold": "0.9" }""", "threshold", "number")]
    [InlineData("""{ "thresholds": [0.5, 2] }""", "thresholds", "0 to 1")]
    [InlineData("""{ "thresholds": [0.5, "x"] }""", "thresholds", "number")]
    [InlineData("""{ "thresholds": 0.5 }""", "thresholds", "array")]
    [InlineData("""{ "thresholdTemperature": -1 }""", "thresholdTemperature", "-1")]
    [InlineData("""{ "staticExitLayer": 0 }""", "staticExitLayer", "0")]
    [InlineData("""{ "confidence": "sureness" }""", "confidence", "sureness", "softmaxMargin")]
    [InlineData("""{ "contrastive": { "alpha": 0.2 } }""", "contrastive", "weightedContrastive", "softmaxMargin")]
    [InlineData("""{ "contrastive": { "alpha": 1.5 } }""", "contrastive.alpha", "1.5", "0 to 1")]
    [InlineData("""{ "contrastive": { "alphaSchedule": "linear" } }""", "contrastive.alphaSchedule", "linear", "constant or hyperbolic")]
    [InlineData("""{ "contrastive": { "decayRate": -1 } }""", "contrastive.decayRate", "-1")]
    [InlineData("""{ "contrastive": { "amateurs": "some" } }""", "contrastive.amateurs", "some", "fromMinimumLayer or all")]
    [InlineData("""{ "contrastive": { "headWeight": 1 } }""", "contrastive.headWeight", "string")]
    [InlineData("""{ "contrastive": [] }""", "contrastive", "object")]
    [InlineData("""{ "pruning": { "kind": "random" } }""", "pruning.kind", "random", "none, fixed, decaying or adaptive")]
    [InlineData("""{ "pruning": { "kind": "fixed", "k": 1 } }""", "pruning.k", "1", "at least 2")]
    [InlineData("""{ "pruning": { "kind": "decaying", "kMin": 1 } }""", "pruning.kMin", "1", "at least 2")]
    [InlineData("""{ "pruning": { "kind": "decaying", "kMax": 249 } }""", "pruning.kMax", "249", "250")]
    [InlineData("""{ "pruning": { "kind": "decaying", "k": 500 } }""", "pruning.k", "500", "kMax")]
    [InlineData("""{ "pruning": { "kind": "adaptive", "scale": 1.1 } }""", "pruning.scale", "1.1", "0 to 1")]
    [InlineData("""{ "statePropagation": "ParallelDecoding" }""", "statePropagation", "\"ParallelDecoding\"", "stateCopy or parallelDecoding")]
    [InlineData("""{ "statePropagation": 1 }""", "statePropagation", "string")]
    [InlineData("""{ "classifier": { "weights": [[1]], "biases": [0] } }""", "classifier", "softmaxMargin")]
    [InlineData("""{ "confidence": "classifier" }""", "confidence", "weights and biases")]
    [InlineData("""{ "confidence": "classifier", "classifier": { "weights": [[1], [1, 2]], "biases": [0, 0] } }""", "classifier", "weights[1]")]
    [InlineData("""{ "confidence": "classifier", "classifier": { "weights": [[1]], "biases": [0, 0] } }""", "classifier", "biases")]
    [InlineData("""{ "confidence": "classifier", "classifier": { "weights": [1], "biases": [0] } }""", "classifier.weights", "arrays")]
    [InlineData("""{ "shallowDeep": { "exitLayer": 0 } }""", "shallowDeep.exitLayer", "0", "from 1")]
    [InlineData("""{ "shallowDeep": {} }""", "shallowDeep.exitLayer", "missing")]
    [InlineData("""{ "selfSpeculation": { "draftTokens": 0 } }""", "selfSpeculation.draftTokens", "0", "1 to 32")]
    [InlineData("""{ "selfSpeculation": { "drafts": 3 } }""", "selfSpeculation.drafts")]
    [InlineData("""{ "referenceCompatible": 1 }""", "referenceCompatible", "true or false")]
    [InlineData("""{ "confidence": "\ud800" }""", "confidence", "Unicode")]
    [InlineData("""{ "\ud800": 1 }""", "Unicode")]
    [InlineData("""[]""", "object")]
    [InlineData("""{ "threshold": 0.5""", "JSON")]
    [InlineData("", "JSON")]
    public void What_cannot_be_is_refused_by_name(string json, params string[] said)
    {
        string message = Assert.Throws<InvalidDataException>(() => ExitPolicyJson.Parse(json, "some-policy.json")).Message;

        Assert.StartsWith("some-policy.json", message, StringComparison.Ordinal);
        Assert.All(said, part => Assert.Contains(part, message, StringComparison.Ordinal));
    }

    [Fact]
    public void A_message_does_not_repeat_a_huge_value()
    {
        string json = $$"""{ "confidence": "{{new string('x', 100_000)}}" }""";
        Assert.InRange(Assert.Throws<InvalidDataException>(() => ExitPolicyJson.Parse(json, "p")).Message.Length, 1, 500);
    }

    [Fact]
    public void Deep_nesting_is_refused() =>
        Assert.Throws<InvalidDataException>(() => ExitPolicyJson.Parse($$"""{ "classifier": {{new string('[', 100_000)}}""", "p"));

    [Property(MaxTest = 400)]
    public Property What_is_written_is_read_as_the_same() => Prop.ForAll(AnyPolicies.Policy.ToArbitrary(), policy =>
    {
        ExitPolicy read = ExitPolicyJson.Parse(ExitPolicyJson.Write(policy), "p");

        Assert.Equal(policy with { Thresholds = null }, read with { Thresholds = null });
        Assert.Equal(policy.Thresholds, read.Thresholds);
        Assert.Equal((policy.HasMinimumLayer, policy.HasThreshold), (read.HasMinimumLayer, read.HasThreshold));
        Assert.Equal(ExitPolicyJson.Write(policy), ExitPolicyJson.Write(read));
    });

    [Fact]
    public void Numbers_of_a_pruning_that_code_cannot_give_are_read_and_written()
    {
        const string Json = """{ "pruning": { "kind": "KIND", "kMax": 9000, "kMin": 30 } }""";
        foreach (string kind in new[] { "fixed", "decaying", "adaptive" })
        {
            ExitPolicy policy = ExitPolicyJson.Parse(Json.Replace("KIND", kind, StringComparison.Ordinal), "p");
            Assert.Equal(policy, ExitPolicyJson.Parse(ExitPolicyJson.Write(policy), "p"));

            // 9000 / (1 + 299 · 2 / 8).
            Assert.Equal(118, policy.Pruning.FirstSize(2, 8));
        }
    }
}
