using System.Text.Json;
using Microsoft.ML.Data;
using Microsoft.ML.EarlyExit.Scoring;

namespace Microsoft.ML.EarlyExit.Tests;

public sealed class CustomConfidenceTests
{
    private static readonly GenerationInput[] s_inputs =
        [.. Enumerable.Range(0, 5).Select(row => GenerationInput.FromTokenIds([7, 99, 34 + row, 200 - row, 1]))];

    public static TheoryData<VocabularyPruning> Prunings =>
        [VocabularyPruning.None, VocabularyPruning.Fixed(300), VocabularyPruning.Decaying(8000, 300), VocabularyPruning.Adaptive(kMin: 50, k: 700)];

    [Theory]
    [MemberData(nameof(Prunings))]
    public void A_delegate_that_computes_the_softmax_margin_gives_what_the_softmax_margin_gives(VocabularyPruning pruning)
    {
        EarlyExitModel model = TestModels.Model(TestModels.Exits);
        foreach (int batchSize in new[] { 1, 3 })
        {
            TextGenerationOptions options = Options(Confidence.SoftmaxMargin, pruning) with { BatchSize = batchSize };
            IReadOnlyList<GenerationResult> expected = model.Generate(s_inputs, options);
            IReadOnlyList<GenerationResult> actual = model.Generate(s_inputs, options with { Exit = options.Exit! with { Confidence = Margin("margin") } });
            AssertSame(expected, actual);
            Assert.Contains(expected.SelectMany(result => result.ExitLayers), layer => layer < 8);
        }
    }

    [Fact]
    public void A_delegate_on_hidden_states_gives_what_a_classifier_gives_and_multiplies_no_head_before_the_exit()
    {
        EarlyExitModel model = TestModels.Model(TestModels.Exits);
        float[] weights = [.. Enumerable.Range(0, model.Configuration.ModelDimension).Select(column => MathF.Sin(column) / 4)];
        var custom = Confidence.Custom("probe", ConfidenceNeeds.HiddenState, token =>
        {
            Assert.True(token.Logits.IsEmpty && token.TokenIds.IsEmpty);
            double score = 0.25;
            for (int column = 0; column < weights.Length; column++)
                score += weights[column] * token.HiddenState[column];
            return (float)(1 / (1 + Math.Exp(-score)));
        });
        TextGenerationOptions options = Options(Confidence.Classifier([weights], [0.25f]), VocabularyPruning.None);
        AssertSame(model.Generate(s_inputs, options), model.Generate(s_inputs, options with { Exit = options.Exit! with { Confidence = custom } }));
        Assert.Throws<ArgumentException>(() => model.Generate(s_inputs, Options(custom, VocabularyPruning.Fixed(300))));
    }

    [Fact]
    public void The_view_says_where_the_token_is()
    {
        var seen = new List<(int Layer, int Position)>();
        var measure = Confidence.Custom("seen", ConfidenceNeeds.Logits, token =>
        {
            Assert.Equal(8, token.LayerCount);
            Assert.Equal(48, token.HiddenState.Length);
            Assert.Equal(token.Layer == 2, token.TokenIds.IsEmpty);
            Assert.Equal(token.Layer == 2 ? 1024 : 300, token.Logits.Length);
            Assert.True(token.TokenIds.IsEmpty || token.TokenIds.Length == token.Logits.Length);
            seen.Add((token.Layer, token.Position));
            return 0;
        });
        TestModels.Model(TestModels.Exits).Generate(s_inputs[..1], Options(measure, VocabularyPruning.Fixed(300)) with { MaxNewTokens = 3, MinNewTokens = 3 });
        Assert.Equal(from position in Enumerable.Range(0, 3) from layer in Enumerable.Range(2, 6) select (layer, position), seen);
    }

    [Fact]
    public void Several_threads_use_one_delegate()
    {
        EarlyExitModel model = TestModels.Model(TestModels.Exits);
        TextGenerationOptions options = Options(Margin("threads"), VocabularyPruning.Fixed(300));
        IReadOnlyList<GenerationResult> expected = model.Generate(s_inputs, options);
        Parallel.For(0, 4, _ => AssertSame(expected, model.Generate(s_inputs, options)));
    }

    [Theory]
    [InlineData(1.5f, "1.5")]
    [InlineData(-0.25f, "-0.25")]
    [InlineData(float.NaN, "NaN")]
    public void A_number_that_is_no_confidence_fails_its_row_only(float value, string said)
    {
        var measure = Confidence.Custom("broken", ConfidenceNeeds.Logits, token => token.Position == 2 && token.HiddenState[0] > 0 ? value : 0.25f);
        IReadOnlyList<GenerationResult> results =
            TestModels.Model(TestModels.Exits).Generate(s_inputs, Options(measure, VocabularyPruning.None) with { BatchSize = 5 });
        GenerationResult[] failed = [.. results.Where(result => result.StopReason == StopReason.Error)];
        Assert.NotEmpty(failed);
        Assert.All(
            failed,
            result => Assert.Matches(
                $"^The confidence 'broken' of token 2 after decoder layer [2-7] is {said}; it must be a number from 0 to 1\\.$", result.Error));
        Assert.All(failed, result => Assert.Equal(2, result.TokenIds.Count));
        Assert.All(results.Except(failed), result => Assert.Null(result.Error));
    }

    [Fact]
    public void An_exception_of_the_delegate_ends_the_call_and_the_model_goes_on()
    {
        EarlyExitModel model = TestModels.Model(TestModels.Exits);
        var measure = Confidence.Custom("thrower", ConfidenceNeeds.Logits, token => token.Position == 3 ? throw new TimeoutException("no") : 0.1f);
        Assert.Equal(
            "no", Assert.Throws<TimeoutException>(() => model.Generate(s_inputs, Options(measure, VocabularyPruning.None) with { BatchSize = 2 })).Message);
        Assert.All(model.Generate(s_inputs, Options(Confidence.SoftmaxMargin, VocabularyPruning.None)), result => Assert.Null(result.Error));
    }

    [Fact]
    public void Targets_are_scored_with_it()
    {
        EarlyExitModel model = TestModels.Model(TestModels.Exits);
        using var expected = new LayerScorer(model, null);
        using var actual = new LayerScorer(model, new ExitPolicy { Confidence = Margin("scored") });
        int[] target = [5, 9, 300, 1];
        foreach ((LayerScore one, LayerScore other) in expected.Score([7, 99, 1], target).Zip(actual.Score([7, 99, 1], target)))
            Assert.All(one.Confidence.Zip(other.Confidence), pair => Assert.Equal(pair.First, pair.Second, 1e-5));
        using var broken = new LayerScorer(model, new ExitPolicy { Confidence = Confidence.Custom("two", ConfidenceNeeds.Logits, _ => 2) });
        Assert.Contains("'two' of token 0", Assert.Throws<InvalidOperationException>(() => broken.Score([7, 99, 1], target)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void It_equals_one_of_the_same_name_and_delegate()
    {
        Func<TokenView, float> half = _ => 0.5f;
        Func<TokenView, float> other = _ => 0.25f;
        Confidence measure = Confidence.Custom("half", ConfidenceNeeds.Logits, half);
        Assert.Equal(measure, Confidence.Custom("half", ConfidenceNeeds.Logits, half));
        Assert.Equal(measure.GetHashCode(), Confidence.Custom("half", ConfidenceNeeds.Logits, half).GetHashCode());
        Assert.NotEqual(measure, Confidence.Custom("Half", ConfidenceNeeds.Logits, half));
        Assert.NotEqual(measure, Confidence.Custom("half", ConfidenceNeeds.HiddenState, half));
        Assert.NotEqual(measure, Confidence.Custom("half", ConfidenceNeeds.Logits, other));
        Assert.Equal("half", measure.ToString());
    }

    [Theory]
    [InlineData("")]
    [InlineData("my measure")]
    [InlineData("m\u00e4\u00df")]
    [InlineData("softmaxMargin")]
    [InlineData("jsdContrastive")]
    public void A_name_that_is_none_or_the_librarys_is_refused(string name)
    {
        Assert.Throws<ArgumentException>("name", () => Confidence.Custom(name, ConfidenceNeeds.Logits, _ => 0));
        Assert.Throws<ArgumentException>("name", () => Confidence.Register(name, ConfidenceNeeds.Logits, _ => 0));
        Assert.Throws<ArgumentException>("name", () => Confidence.Custom(new string('a', 101), ConfidenceNeeds.Logits, _ => 0));
        Assert.Throws<ArgumentOutOfRangeException>("needs", () => Confidence.Custom("right", (ConfidenceNeeds)2, _ => 0));
        Assert.Throws<ArgumentNullException>("evaluate", () => Confidence.Custom("right", ConfidenceNeeds.Logits, null!));
    }

    [Fact]
    public void A_policy_with_it_is_saved_and_read_only_where_it_is_registered()
    {
        Func<TokenView, float> evaluate = _ => 0.5f;
        var policy = new ExitPolicy { MinimumLayer = 2, Confidence = Confidence.Custom("json-half", ConfidenceNeeds.Logits, evaluate) };
        string message = Assert.Throws<InvalidOperationException>(() => policy.ToJson()).Message;
        Assert.Contains("'json-half'", message, StringComparison.Ordinal);
        Assert.Contains("Confidence.Register", message, StringComparison.Ordinal);
        Assert.Throws<InvalidOperationException>(() => JsonSerializer.Serialize(policy));
        string json = new ExitPolicy { MinimumLayer = 2 }.ToJson().Replace("softmaxMargin", "json-half", StringComparison.Ordinal);
        message = Assert.Throws<InvalidDataException>(() => ExitPolicy.Parse(json)).Message;
        Assert.Contains("json-half", message, StringComparison.Ordinal);
        Assert.Contains("Confidence.Register", message, StringComparison.Ordinal);

        // A name with another delegate is not this one's.
        Assert.Equal(policy.Confidence, Confidence.Register("json-half", ConfidenceNeeds.Logits, evaluate));
        Assert.Throws<InvalidOperationException>(
            () => new ExitPolicy { Confidence = Confidence.Custom("json-half", ConfidenceNeeds.Logits, _ => 0.5f) }.ToJson());

        Assert.Equal(json, policy.ToJson());
        Assert.Equal(policy, ExitPolicy.Parse(json));
        Assert.Equal(policy, JsonSerializer.Deserialize<ExitPolicy>(JsonSerializer.Serialize(policy)));
        Assert.Contains("json-half", Assert.Throws<InvalidDataException>(() => ExitPolicy.Parse(json.Replace("\"confidence\"", """
            "contrastive": { "alpha": 0.2 }, "confidence"
            """, StringComparison.Ordinal))).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_name_is_registered_once_and_from_any_thread()
    {
        Func<TokenView, float> evaluate = _ => 0.5f;
        Confidence[] registered = new Confidence[64];
        Parallel.For(0, registered.Length, index => registered[index] = Confidence.Register("once", ConfidenceNeeds.Logits, evaluate));
        Assert.All(registered, measure => Assert.Same(registered[0], measure));
        string message = Assert.Throws<InvalidOperationException>(() => Confidence.Register("once", ConfidenceNeeds.Logits, _ => 0.5f)).Message;
        Assert.Contains("'once'", message, StringComparison.Ordinal);
        Assert.Throws<InvalidOperationException>(() => Confidence.Register("once", ConfidenceNeeds.HiddenState, evaluate));
    }

    [Fact]
    public void A_pipeline_with_it_is_saved_and_loaded_where_it_is_registered()
    {
        var context = new MLContext(seed: 1);
        IDataView data = context.Data.LoadFromEnumerable(DemoRow.Create(2));
        Func<TokenView, float> evaluate = ComputeMargin;
        var options = new TextGenerationOptions
        {
            Prefix = "describe: ",
            MaxNewTokens = 6,
            Exit = new ExitPolicy { MinimumLayer = 2, Threshold = 0.5f, Confidence = Confidence.Custom("in-a-zip", ConfidenceNeeds.Logits, evaluate) },
        };
        using TextGenerationTransformer transformer = context.Transforms.Text
            .GenerateText("Text", "Prompt", TestModels.Bundle(TestModels.Demo), options).Fit(data);
        using var refused = new MemoryStream();
        Exception exception = Assert.ThrowsAny<Exception>(() => context.Model.Save(transformer, data.Schema, refused));
        Assert.Contains("Confidence.Register", exception.GetBaseException().Message, StringComparison.Ordinal);

        Confidence.Register("in-a-zip", ConfidenceNeeds.Logits, evaluate);
        using var zip = new MemoryStream();
        context.Model.Save(transformer, data.Schema, zip);
        ITransformer loaded = new MLContext().Model.Load(zip, out _);
        using var disposable = (IDisposable)loaded;
        Assert.Equal(options, Assert.IsType<TextGenerationTransformer>(loaded).GenerationOptions);
        Assert.Equal(transformer.Transform(data).GetColumn<string>("Text"), loaded.Transform(data).GetColumn<string>("Text"));
    }

    private static TextGenerationOptions Options(Confidence confidence, VocabularyPruning pruning) => new()
    {
        MaxNewTokens = 12,
        MinNewTokens = 12,
        Trace = true,
        Exit = new ExitPolicy { MinimumLayer = 2, Threshold = 0.6f, Confidence = confidence, Pruning = pruning },
    };

    private static Confidence Margin(string name) => Confidence.Custom(name, ConfidenceNeeds.Logits, ComputeMargin);

    /// <summary>In plain double precision; its last digits differ from those of the library's.</summary>
    private static float ComputeMargin(TokenView token)
    {
        double[] exponentials = [.. token.Logits.ToArray().Select(logit => Math.Exp(logit))];
        double[] best = [.. exponentials.OrderDescending().Take(2)];
        return (float)((best[0] - best[1]) / exponentials.Sum());
    }

    private static void AssertSame(IReadOnlyList<GenerationResult> expected, IReadOnlyList<GenerationResult> actual)
    {
        for (int row = 0; row < expected.Count; row++)
        {
            Assert.Null(actual[row].Error);
            Assert.Equal(expected[row].TokenIds, actual[row].TokenIds);
            Assert.Equal(expected[row].ExitLayers, actual[row].ExitLayers);
            Assert.Equal(expected[row].Operations, actual[row].Operations);
            Assert.All(expected[row].Confidences.Zip(actual[row].Confidences), pair => Assert.Equal(pair.First, pair.Second, 1e-5));
        }
    }
}
