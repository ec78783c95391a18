using Microsoft.ML.EarlyExit.Exit;
using Microsoft.ML.EarlyExit.Memory;
using Microsoft.ML.EarlyExit.Scoring;

namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>Scores of given targets at every layer: against what generation computes, and against their definitions.</summary>
[Collection("Native memory")]
public sealed class LayerScorerTests
{
    private static readonly int[] s_inputIds = [9, 12, 40, 77, 5, 1];

    private static readonly string[] s_models = [TestModels.Exits, "tiny-v10", "tiny-v11", TestModels.Demo];

    public static TheoryData<string, int, string> Generations =>
        new(
            from model in s_models
            from minimumLayer in (int[])[1, 2, 3]
            from measure in Measures.Names.Select(row => row.Data)
            select (model, minimumLayer, measure));

    public static TheoryData<string> Models => [.. s_models];

    [Theory]
    [MemberData(nameof(Generations))]
    public void Confidences_are_those_that_generation_computes_and_the_last_layer_says_what_it_generates(string name, int minimumLayer, string measure)
    {
        EarlyExitModel model = TestModels.Model(name);
        int layers = model.Configuration.DecoderLayerCount;
        var policy = new ExitPolicy
        {
            MinimumLayer = Math.Min(minimumLayer, layers), Threshold = 1, Confidence = Measures.Create(measure, model.Configuration),
        };
        GenerationResult generated = model.Generate(
            [GenerationInput.FromTokenIds(s_inputIds)], new TextGenerationOptions { MaxNewTokens = 40, Exit = policy, Trace = true })[0];
        Assert.Null(generated.Error);
        using var scorer = new LayerScorer(model, policy);
        IReadOnlyList<LayerScore> scores = scorer.Score(s_inputIds, [.. generated.TokenIds]);

        Assert.Equal(Enumerable.Range(1, layers), scores.Select(score => score.Layer));
        Assert.Equal(generated.TokenIds, scores[^1].ArgMax);
        Assert.All(scores[^1].Rank, rank => Assert.Equal(0, rank));
        int compared = 0, different = 0;
        for (int position = 0; position < generated.TokenIds.Count; position++)
        {
            foreach (ConfidenceEvaluation evaluation in generated.Steps![position].Evaluations)
            {
                compared++;
                float confidence = scores[evaluation.Layer - 1].Confidence[position];
                if (Math.Abs(evaluation.Confidence - confidence) > 1e-4)
                    different++;
            }
        }

        // Rounding decides near ties: tokens at the border of the head set, amateurs as good as each other.
        Assert.Equal(generated.TokenIds.Count * (layers - policy.MinimumLayer), compared);
        Assert.True(different <= compared / 100, $"{different} of {compared} confidences differ.");
        Assert.All(scores, score => Assert.All(score.Confidence, confidence => Assert.InRange(confidence, 0f, 1f)));
    }

    [Theory]
    [MemberData(nameof(Models))]
    public void A_layer_s_first_choice_is_what_a_static_exit_after_it_generates(string name)
    {
        EarlyExitModel model = TestModels.Model(name);
        using var scorer = new LayerScorer(model, null);
        IReadOnlyList<LayerScore> scores = scorer.Score(s_inputIds, [1]);
        for (int layer = 1; layer <= model.Configuration.DecoderLayerCount; layer++)
        {
            var options = new TextGenerationOptions { MaxNewTokens = 1, Exit = new ExitPolicy { StaticExitLayer = layer } };
            Assert.Equal(model.Generate([GenerationInput.FromTokenIds(s_inputIds)], options)[0].TokenIds, scores[layer - 1].ArgMax);
        }
    }

    [Theory]
    [MemberData(nameof(Models))]
    public void Choices_ranks_and_probabilities_are_their_definitions(string name)
    {
        EarlyExitModel model = TestModels.Model(name);
        T5Configuration sizes = model.Configuration;

        // More than two blocks of positions.
        var random = new Random(3);
        int[] target = [.. Enumerable.Range(0, 36).Select(_ => random.Next(2, 250)), 1];
        float[][] states = HiddenStates.OneByOne(model, s_inputIds, target);
        using var scorer = new LayerScorer(model, null);
        IReadOnlyList<LayerScore> scores = scorer.Score(s_inputIds, target);
        int compared = 0;
        for (int position = 0; position < target.Length; position++)
        {
            double[] last = Logits(model, Hidden(sizes.DecoderLayerCount));
            int chosen = Array.IndexOf(last, last.Max());
            for (int layer = 1; layer <= sizes.DecoderLayerCount; layer++)
            {
                double[] logits = Logits(model, Hidden(layer));
                double[] sorted = [.. logits.OrderDescending()];
                double logSumExp = sorted[0] + Math.Log(logits.Sum(logit => Math.Exp(logit - sorted[0])));
                LayerScore score = scores[layer - 1];
                Assert.Equal(logits[target[position]] - logSumExp, score.LogProbability[position], 1e-3);

                // Where two tokens are as likely as each other, rounding decides.
                int near = logits.Count(logit => Math.Abs(logit - logits[chosen]) < 1e-3) - 1;
                int above = logits.Count(logit => logit > logits[chosen]);
                Assert.InRange(score.Rank[position], above - near, above + near);
                if (sorted[0] - sorted[1] < 1e-3)
                    continue;
                Assert.Equal(Array.IndexOf(logits, sorted[0]), score.ArgMax[position]);
                compared++;
            }

            ReadOnlySpan<float> Hidden(int layer) => states[layer].AsSpan(position * sizes.ModelDimension, sizes.ModelDimension);
        }

        Assert.True(compared > target.Length * sizes.DecoderLayerCount * 0.8);
    }

    [Fact]
    public void Ranks_count_equal_logits_of_lower_ids()
    {
        float[] logits = [1, 3, 2, 3, -1, 3, 2];
        Assert.Equal([5, 0, 3, 1, 6, 2, 4], Enumerable.Range(0, logits.Length).Select(id => LogitScan.Rank(logits, id)));
        Assert.Equal(1, LogitScan.ArgMax(logits));
        Assert.Equal(-1, LogitScan.ArgMax([1, float.NaN, 2]));
        Assert.Equal(-1, LogitScan.ArgMax([1, float.PositiveInfinity, 2]));
    }

    [Theory]
    [MemberData(nameof(Measures.Names), MemberType = typeof(Measures))]
    public void The_size_of_the_blocks_does_not_matter(string measure)
    {
        EarlyExitModel model = TestModels.Model("tiny-v11");
        var policy = new ExitPolicy { Confidence = Measures.Create(measure, model.Configuration) };
        int[] target = [.. Enumerable.Range(0, 40).Select(position => 5 + (position * 37 % 240)), 1];
        using var expected = new LayerScorer(model, policy);
        IReadOnlyList<LayerScore> scores = expected.Score(s_inputIds, target);
        foreach (long bytes in (long[])[0, 3L * 2 * model.Configuration.VocabularySize * sizeof(float), long.MaxValue])
        {
            using var scorer = new LayerScorer(model, policy, bytes);
            AssertEqual(scores, scorer.Score(s_inputIds, target));

            // Another row before it changes nothing either.
            scorer.Score([44, 1], [7, 8, 1]);
            AssertEqual(scores, scorer.Score(s_inputIds, target));
        }
    }

    [Fact]
    public void Of_the_policy_only_the_measure_and_where_amateurs_begin_count()
    {
        EarlyExitModel model = TestModels.Model(TestModels.Exits);
        int[] target = [17, 5, 200, 31, 1];
        var plain = new ExitPolicy { MinimumLayer = 2, Confidence = Confidence.JsdContrastive() };
        IReadOnlyList<LayerScore> expected = Score(model, plain, target);
        AssertEqual(expected, Score(model, plain with { Pruning = VocabularyPruning.Fixed(10), ReferenceCompatible = true, Threshold = 0.1f }, target));
        AssertEqual(
            expected, Score(model, plain with { Thresholds = [0.5f], StatePropagation = StatePropagation.ParallelDecoding, StaticExitLayer = 3 }, target));

        // Nothing is cut, so the head set is as at the layer before the first cut.
        var fromPruning = new ContrastiveOptions { PlausibilityFromPruning = true };
        AssertEqual(expected, Score(model, plain with { Confidence = Confidence.JsdContrastive(fromPruning), Pruning = VocabularyPruning.Fixed(10) }, target));
        AssertEqual(
            Score(model, plain with { Confidence = Confidence.WeightedContrastive() }, target),
            Score(model, plain with { Confidence = Confidence.WeightedContrastive(fromPruning) }, target));

        // Amateurs begin at the minimum layer; up to it, the softmax margin takes the measure's place.
        IReadOnlyList<LayerScore> margins = Score(model, null, target);
        IReadOnlyList<LayerScore> late = Score(model, plain with { MinimumLayer = 4 }, target);
        for (int layer = 1; layer <= 4; layer++)
            Assert.Equal(margins[layer - 1].Confidence, late[layer - 1].Confidence);
        Assert.NotEqual(margins[4].Confidence, late[4].Confidence);
        Assert.NotEqual(expected[4].Confidence, late[4].Confidence);
    }

    [Fact]
    public void Measures_that_do_not_fit_the_model_are_refused()
    {
        EarlyExitModel model = TestModels.Model(TestModels.Exits);
        Assert.Contains(
            "MinimumLayer is 9, but the model has 8 decoder layers; it must be from 1 to 8",
            Assert.Throws<ArgumentException>(() => new LayerScorer(model, new ExitPolicy { MinimumLayer = 9 })).Message);
        Assert.Contains(
            "The classifier's rows have 2 weights",
            Assert.Throws<ArgumentException>(() => new LayerScorer(model, new ExitPolicy { Confidence = Confidence.Classifier([[1, 2]], [0]) })).Message);
    }

    [Fact]
    public void Targets_that_cannot_be_scored_are_refused()
    {
        EarlyExitModel model = TestModels.Model(TestModels.Exits);
        using var scorer = new LayerScorer(model, null);
        Assert.Contains("no token ids", Assert.Throws<ArgumentException>(() => scorer.Score(s_inputIds, [])).Message);
        foreach (int id in (int[])[-1, model.Configuration.VocabularySize, int.MaxValue])
        {
            Assert.Contains(
                $"Token id {id} at position 1 of the target is outside the vocabulary",
                Assert.Throws<ArgumentException>(() => scorer.Score(s_inputIds, [5, id, 1])).Message);
        }

        Assert.Equal(8, scorer.Score(s_inputIds, [1]).Count);
    }

    [Theory]
    [InlineData("embedding", 17 * 48, float.NaN, "After decoder layer 0 a hidden state")]
    [InlineData("decoder.2.self.kv", 10, float.NaN, "After decoder layer 3 a hidden state")]
    [InlineData("decoder.final_norm", 3, float.PositiveInfinity, "After decoder layer 5 a logit")]
    [InlineData("head", 7 * 48, float.NegativeInfinity, "After decoder layer 5 a logit")]
    public void Weights_that_are_no_numbers_are_an_error_that_names_the_layer(string tensor, int element, float value, string error)
    {
        using var tampered = new TamperedBundle();
        tampered.EditTensor(tensor, element, 1, value);
        using EarlyExitModel model = EarlyExitModel.Load(tampered.Folder);
        using var scorer = new LayerScorer(model, new ExitPolicy { Confidence = Confidence.JsdContrastive() });
        Assert.StartsWith(error, Assert.Throws<InvalidOperationException>(() => scorer.Score(s_inputIds, [17, 5, 1])).Message);
    }

    [Theory]
    [MemberData(nameof(Measures.Names), MemberType = typeof(Measures))]
    public void A_longer_target_allocates_no_more_than_its_scores(string measure)
    {
        EarlyExitModel model = TestModels.Model("tiny-v11");
        using var scorer = new LayerScorer(model, new ExitPolicy { Confidence = Measures.Create(measure, model.Configuration) });
        int[] target = [.. Enumerable.Range(0, 120).Select(position => 5 + (position * 37 % 240))];
        Allocated(target);
        Allocated(target[..20]);
        long scores = 4L * sizeof(int) * 100 * model.Configuration.DecoderLayerCount;
        Assert.InRange(Allocated(target) - Allocated(target[..20]), scores - 1000, scores + 1000);

        long Allocated(int[] ids)
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            scorer.Score(s_inputIds, ids);
            return GC.GetAllocatedBytesForCurrentThread() - before;
        }
    }

    [Fact]
    public void A_scorer_keeps_its_model_and_leaves_nothing_behind()
    {
        GC.Collect();
        GC.WaitForPendingFinalizers();
        long before = NativeBuffer.LiveBytes;
        EarlyExitModel model = EarlyExitModel.Load(TestModels.Bundle(TestModels.Exits));
        using (var scorer = new LayerScorer(model, new ExitPolicy { Confidence = Confidence.WeightedContrastive() }))
        {
            model.Dispose();
            scorer.Score(s_inputIds, [17, 5, 1]);
        }

        Assert.Equal(before, NativeBuffer.LiveBytes);
        Assert.Throws<ObjectDisposedException>(() => new LayerScorer(model, null));
    }

    private static IReadOnlyList<LayerScore> Score(EarlyExitModel model, ExitPolicy? policy, int[] target)
    {
        using var scorer = new LayerScorer(model, policy);
        return scorer.Score(s_inputIds, target);
    }

    private static void AssertEqual(IReadOnlyList<LayerScore> expected, IReadOnlyList<LayerScore> actual)
    {
        Assert.Equal(expected.Count, actual.Count);
        foreach ((LayerScore one, LayerScore other) in expected.Zip(actual))
        {
            Assert.Equal(one.Layer, other.Layer);
            Assert.Equal(one.ArgMax, other.ArgMax);
            Assert.Equal(one.Rank, other.Rank);
            Assert.Equal(one.Confidence, other.Confidence);
            Assert.Equal(one.LogProbability, other.LogProbability);
        }
    }

    private static double[] Logits(EarlyExitModel model, ReadOnlySpan<float> hidden)
    {
        float[] normed = new float[hidden.Length];
        model.Head.Normalize(hidden, normed);
        double[] logits = new double[model.Head.VocabularySize];
        for (int id = 0; id < logits.Length; id++)
        {
            ReadOnlySpan<float> row = model.Head.Row(id);
            for (int index = 0; index < normed.Length; index++)
                logits[id] += (double)row[index] * normed[index];
        }

        return logits;
    }
}
