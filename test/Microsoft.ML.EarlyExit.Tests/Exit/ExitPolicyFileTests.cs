using System.Text.Json;
using FsCheck;
using FsCheck.Fluent;
using FsCheck.Xunit;
using Microsoft.ML.EarlyExit.Exit.Confidences;

namespace Microsoft.ML.EarlyExit.Tests;

public sealed class ExitPolicyFileTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("early-exit-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Property(MaxTest = 200)]
    public Property Json_loses_nothing() => Prop.ForAll(AnyPolicies.Policy.ToArbitrary(), policy =>
    {
        ExitPolicy parsed = ExitPolicy.Parse(policy.ToJson());
        Assert.Equal(policy, parsed);
        Assert.Equal(policy.GetHashCode(), parsed.GetHashCode());
        Assert.Equal(policy, JsonSerializer.Deserialize<ExitPolicy>(JsonSerializer.Serialize(policy)));
        Assert.Equal(policy.Confidence, JsonSerializer.Deserialize<Confidence>(JsonSerializer.Serialize(policy.Confidence)));
        Assert.Equal(policy.Pruning, JsonSerializer.Deserialize<VocabularyPruning>(JsonSerializer.Serialize(policy.Pruning)));
    });

    [Property(MaxTest = 100)]
    public Property Options_that_hold_a_policy_lose_nothing(int length, bool flag) => Prop.ForAll(AnyPolicies.Policy.ToArbitrary(), policy =>
    {
        var options = new TextGenerationOptions
        {
            Prefix = "summarize: \u00e9",
            MaxNewTokens = flag ? 1 + (Math.Abs(length) % 1000) : null,
            MinNewTokens = Math.Abs(length) % 7,
            MaxInputTokens = 99,
            Truncate = flag,
            RepetitionPenalty = 1.1f,
            NoRepeatNgramSize = 3,
            BatchSize = 5,
            MissingTexts = flag ? MissingTextHandling.UseEmptyText : MissingTextHandling.Skip,
            Trace = !flag,
            Exit = policy,
        };
        var holder = new Settings("demo", options, [policy, null]);

        Settings read = JsonSerializer.Deserialize<Settings>(JsonSerializer.Serialize(holder))!;

        Assert.Equal(options, read.Options);
        Assert.Equal(holder.Policies, read.Policies);
        Assert.Equal(
            options,
            JsonSerializer.Deserialize<TextGenerationOptions>(JsonSerializer.Serialize(options, JsonSerializerOptions.Web), JsonSerializerOptions.Web));
    });

    [Fact]
    public void Thresholds_make_a_policy_equal_by_their_numbers()
    {
        var policy = new ExitPolicy { Thresholds = [0.5f, 0.25f] };

        Assert.Equal(policy, new ExitPolicy { Thresholds = new List<float> { 0.5f, 0.25f } });
        Assert.NotEqual(policy, new ExitPolicy { Thresholds = [0.5f, 0.5f] });
        Assert.NotEqual(policy, new ExitPolicy());
    }

    [Fact]
    public void What_is_saved_is_loaded_and_replaces_an_older_file_whole()
    {
        string path = Place("policy.json");
        var policy = new ExitPolicy { MinimumLayer = 3, Thresholds = [1f, 0.1f, MathF.BitDecrement(1)], Pruning = VocabularyPruning.Adaptive(0.3f, 20, 400) };
        File.WriteAllText(path, new string('x', 100_000));

        policy.Save(path);

        Assert.Equal(policy.ToJson(), File.ReadAllText(path));
        Assert.Equal(policy, ExitPolicy.Load(path));
        Assert.Equal([path], Directory.GetFiles(_folder));
    }

    [Fact]
    public void A_classifier_that_was_saved_is_read_as_a_policy()
    {
        var classifier = new ExitClassifier(new ClassifierProbe([[0.1f, -2.5e-8f], [float.MaxValue, 3]], [0.25f, -1e-30f]), 2, []);
        string path = Place("classifier.json");
        classifier.Save(path);

        ExitPolicy policy = ExitPolicy.Load(path);

        Assert.Equal(new ExitPolicy { MinimumLayer = 2, Confidence = Confidence.Classifier(classifier.Weights, classifier.Biases) }, policy);
    }

    [Fact]
    public void What_is_no_policy_is_refused_by_name()
    {
        string path = Place("policy.json");
        File.WriteAllText(path, """{ "treshold": 0.5 }""");

        string message = Assert.Throws<InvalidDataException>(() => ExitPolicy.Load(path)).Message;
        Assert.StartsWith(path, message, StringComparison.Ordinal);
        Assert.Contains("treshold", message, StringComparison.Ordinal);
        Assert.Contains("treshold", Assert.Throws<InvalidDataException>(() => ExitPolicy.Parse("""{ "treshold": 0.5 }""")).Message, StringComparison.Ordinal);
        Assert.Throws<FileNotFoundException>(() => ExitPolicy.Load(Place("absent.json")));
        Assert.Throws<UnauthorizedAccessException>(() => ExitPolicy.Load(_folder));
        Assert.Throws<ArgumentException>(() => ExitPolicy.Load(""));
        Assert.Throws<ArgumentNullException>(() => ExitPolicy.Parse(null!));
        Assert.Throws<ArgumentException>(() => new ExitPolicy().Save(""));
        Assert.Throws<DirectoryNotFoundException>(() => new ExitPolicy().Save(Place(Path.Combine("absent", "p.json"))));
    }

    [Theory]
    [InlineData("""{ "Exit": { "treshold": 0.5 } }""", "treshold")]
    [InlineData("""{ "Exit": { "threshold": 2 } }""", "threshold is 2")]
    [InlineData("""{ "Exit": { "threshold": 0.5, "threshold": 0.5 } }""", "twice")]
    [InlineData("""{ "Exit": 7 }""", "object")]
    public void A_serializer_reads_policies_as_strictly(string json, string said) =>
        Assert.Contains(said, Assert.Throws<JsonException>(() => JsonSerializer.Deserialize<TextGenerationOptions>(json)).Message, StringComparison.Ordinal);

    [Fact]
    public void Results_are_serialized_with_confidences_that_are_no_numbers()
    {
        var result = new GenerationResult
        {
            Text = "a", TokenIds = [5, 1], ExitLayers = [2, 4], Confidences = [0.1f, float.NaN], StopReason = StopReason.EndOfSequence,
        };
        GenerationResult read = JsonSerializer.Deserialize<GenerationResult>(JsonSerializer.Serialize(result))!;

        Assert.Equal(result.Confidences, read.Confidences);
        Assert.Equal((result.Text, result.StopReason), (read.Text, read.StopReason));
        var token = new GeneratedToken(5, "a", 2, float.NaN, StopReason.EndOfSequence);
        Assert.Equal(token, JsonSerializer.Deserialize<GeneratedToken>(JsonSerializer.Serialize(token)));
        var step = new GenerationStep(5, 2, [new ConfidenceEvaluation(1, 0.5f, 10, null)], new OperationCounts(1, 2, 3, 4, 5));
        GenerationStep readStep = JsonSerializer.Deserialize<GenerationStep>(JsonSerializer.Serialize(step))!;
        Assert.Equal((step.TokenId, step.ExitLayer, step.Operations), (readStep.TokenId, readStep.ExitLayer, readStep.Operations));
        Assert.Equal(step.Evaluations, readStep.Evaluations);
    }

    private string Place(string name) => Path.Combine(_folder, name);

    private sealed record Settings(string Name, TextGenerationOptions Options, IReadOnlyList<ExitPolicy?> Policies);
}
