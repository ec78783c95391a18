using Microsoft.ML.Data;
using Microsoft.ML.EarlyExit.Exit;
using Microsoft.ML.EarlyExit.Files;
using Microsoft.ML.EarlyExit.Memory;
using Microsoft.ML.EarlyExit.Training;
using Microsoft.ML.Runtime;
using Microsoft.ML.Trainers;

namespace Microsoft.ML.EarlyExit.Tests;

[Collection("Native memory")]
public sealed class ExitClassifierTests
{
    private readonly MLContext _context = new(seed: 1);
    private readonly List<(ChannelMessageKind Kind, string Message)> _log = [];
    private int _read;

    public ExitClassifierTests() => _context.Log += (_, log) =>
    {
        lock (_log)
            _log.Add((log.Kind, log.RawMessage));
    };

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void On_prompts_it_has_not_seen_it_tells_tokens_that_agree_from_others(bool onePerLayer)
    {
        EarlyExitModel model = TestModels.Model(TestModels.Demo);
        ExitClassifier classifier = _context.TextGeneration.TrainExitClassifier(
            _context.Data.LoadFromEnumerable(TrainingRow.Read(40)),
            new ExitClassifierOptions
            {
                Model = model,
                InputColumnName = "Prompt",
                TargetColumnName = onePerLayer ? "ReferenceIds" : null,
                OneProbePerLayer = onePerLayer,
                HeldOutFraction = 0.3,
                MaxTokensPerRow = 10,
                GenerationOptions = new TextGenerationOptions { BatchSize = 8, MaxNewTokens = 16 },
            });

        Assert.Equal(Enumerable.Range(1, 11), classifier.Layers.Select(layer => layer.Layer));
        Assert.Equal(onePerLayer ? 12 : 1, classifier.Weights.Count);
        Assert.Equal(classifier.Weights.Count, classifier.Biases.Count);
        Assert.All(classifier.Weights, row => Assert.Equal(256, row.Count));
        classifier.Probe.Validate(256, 12);
        Assert.All(classifier.Layers, layer => Assert.Equal((28 * 10, 12 * 10), (layer.TrainingExampleCount, layer.HeldOutExampleCount)));
        foreach (ExitClassifierLayer layer in classifier.Layers)
        {
            TestContext.Current.TestOutputHelper!.WriteLine(
                $"{layer.Layer}: {layer.HeldOutAgreement:F3} agree, accuracy {layer.HeldOutAccuracy:F3}, area {layer.HeldOutAreaUnderRocCurve:F3}");
        }

        // Chance is 0.5; at layers where hardly any token disagrees there is too little to measure.
        ExitClassifierLayer[] measurable = [.. classifier.Layers.Where(layer => layer.HeldOutAgreement is > 0.1 and < 0.9)];
        Assert.True(measurable.Length >= 3);
        Assert.All(measurable, layer => Assert.InRange(layer.HeldOutAreaUnderRocCurve, 0.65, 1));
        Assert.InRange(measurable.Average(layer => layer.HeldOutAccuracy - Math.Max(layer.HeldOutAgreement, 1 - layer.HeldOutAgreement)), -0.05, 1);
    }

    [Theory]
    [InlineData("default")]
    [InlineData("sdca")]
    [InlineData("perceptron")]
    [InlineData("machine")]
    public void Its_confidence_is_the_probability_of_the_trainer_s_own_model(string name)
    {
        IEstimator<ITransformer> inner = name switch
        {
            "default" => _context.BinaryClassification.Trainers.LbfgsLogisticRegression(),
            "sdca" => _context.BinaryClassification.Trainers.SdcaLogisticRegression(),
            "perceptron" => _context.BinaryClassification.Trainers.AveragedPerceptron(),
            _ => _context.BinaryClassification.Trainers.LinearSvm().Append(_context.BinaryClassification.Calibrators.Platt()),
        };
        var trainer = new RecordingTrainer(inner);
        ExitClassifierOptions options = Small(trainer);
        ExitClassifier classifier = Train(options, 60);

        IDataView scored = trainer.Trained!.Transform(trainer.Data!);
        float[] expected = name == "perceptron"
            ? [.. scored.GetColumn<float>("Score").Select(score => (float)(1 / (1 + Math.Exp(-(double)score))))]
            : [.. scored.GetColumn<float>("Probability")];
        int[] layers = [.. scored.GetColumn<int>("Layer")];
        float[][] states = Examples(options, 60);
        Assert.Equal(states.Length, expected.Length);
        for (int index = 0; index < states.Length; index++)
            Assert.Equal(expected[index], classifier.Probe.Evaluate(layers[index], states[index]), 1e-3);
        Assert.InRange(expected.Max() - expected.Min(), 0.2, 1);
        if (name == "default")
            Assert.All(classifier.Weights[0].Zip(Train(Small(null), 60).Weights[0]), pair => Assert.Equal(pair.First, pair.Second, 1e-2));
    }

    [Fact]
    public void With_one_probe_per_layer_each_is_trained_on_its_layer_alone()
    {
        EarlyExitModel model = TestModels.Model("tiny-v11");
        var trainer = new RecordingTrainer(_context.BinaryClassification.Trainers.LbfgsLogisticRegression());
        ExitClassifierOptions options = new()
        {
            Model = model, InputColumnName = "Ids", TargetColumnName = "Target", OneProbePerLayer = true, MinimumLayer = 2, Trainer = trainer,
        };

        ExitClassifier classifier = Train(options, 60);

        Assert.Equal(3, trainer.Fits);
        Assert.Equal<int>([4], trainer.Data!.GetColumn<int>("Layer").Distinct());
        Assert.Equal(5, classifier.Weights.Count);
        Assert.Equal(2, classifier.MinimumLayer);
        Assert.Equal([2, 3, 4], classifier.Layers.Select(layer => layer.Layer));
        foreach (int unused in (int[])[0, 4])
        {
            Assert.All(classifier.Weights[unused], weight => Assert.Equal(0f, weight));
            Assert.Equal(0f, classifier.Biases[unused]);
        }

        Assert.All(classifier.Weights.Skip(1).Take(3), row => Assert.Contains(row, weight => weight != 0));
    }

    [Fact]
    public void A_trainer_of_another_kind_is_refused_with_what_is_needed()
    {
        IEstimator<ITransformer>[] trainers =
        [
            _context.BinaryClassification.Trainers.Prior(),
            _context.Transforms.NormalizeMinMax("Features"),
            _context.Regression.Trainers.Sdca(new SdcaRegressionTrainer.Options { LabelColumnName = "LabelNumber" }),
            _context.BinaryClassification.Trainers.LinearSvm().Append(_context.BinaryClassification.Calibrators.Naive()),
            _context.Transforms.NormalizeMinMax("Features").Append(_context.BinaryClassification.Trainers.LbfgsLogisticRegression()),
            _context.Transforms.CopyColumns("Other", "Features")
                .Append(_context.BinaryClassification.Trainers.LbfgsLogisticRegression(featureColumnName: "Other")),
        ];
        foreach (IEstimator<ITransformer> trainer in trainers)
        {
            IEstimator<ITransformer> adapted = trainer is SdcaRegressionTrainer
                ? _context.Transforms.Conversion.ConvertType("LabelNumber", "Label", DataKind.Single).Append(trainer)
                : trainer;
            string message = Assert.Throws<ArgumentException>(() => Train(Small(adapted), 20)).Message;
            Assert.Contains("no weights of a linear probe can be taken", message);
            Assert.Contains("LbfgsLogisticRegression or SdcaLogisticRegression", message);
        }
    }

    [Fact]
    public void Every_row_is_read_once_and_nothing_is_left_behind()
    {
        _ = TestModels.Bundle("tiny-v11");
        GC.Collect();
        GC.WaitForPendingFinalizers();
        long before = NativeBuffer.LiveBytes;
        var options = new ExitClassifierOptions
        {
            ModelPath = TestModels.Bundle("tiny-v11"), InputColumnName = "Ids", HeldOutFraction = 0.2, OneProbePerLayer = true,
        };

        Train(options, 40);

        Assert.Equal(40, _read);
        Assert.Contains(_log, entry => entry.Message.StartsWith("Loaded the model bundle", StringComparison.Ordinal));
        Assert.Contains(_log, entry => entry.Kind == ChannelMessageKind.Info && entry.Message.StartsWith("Trains on ", StringComparison.Ordinal));
        Assert.Contains(_log, entry => entry.Kind == ChannelMessageKind.Info && entry.Message.Contains("of 40 rows in ", StringComparison.Ordinal));

        IDataView spoilt = _context.Data.LoadFromEnumerable(IdsRow.Create(5).Append(new IdsRow { Ids = [999] }));
        Assert.StartsWith(
            "Row 5, counted from 0, cannot be used for training: Token id 999",
            Assert.Throws<InvalidOperationException>(() => _context.TextGeneration.TrainExitClassifier(spoilt, options)).Message);
        Assert.Equal(before, NativeBuffer.LiveBytes);
    }

    [Fact]
    public void The_same_seed_gives_the_same_classifier_and_another_one_another()
    {
        static ExitClassifierOptions Options(int seed) => new()
        {
            Model = TestModels.Model("tiny-v11"), InputColumnName = "Ids", TargetColumnName = "Target",
            MaxTokensPerRow = 2, HeldOutFraction = 0.25, Seed = seed,
        };

        ExitClassifier first = Train(Options(1), 40);
        ExitClassifier again = Train(Options(1), 40);
        ExitClassifier other = Train(Options(2), 40);

        Assert.Equal(first.Probe, again.Probe);
        Assert.Equal(first.ToJson(), again.ToJson());
        Assert.Equal(first.Layers.Select(layer => layer.HeldOutAreaUnderRocCurve), again.Layers.Select(layer => layer.HeldOutAreaUnderRocCurve));
        Assert.NotEqual(first.Probe, other.Probe);
        Assert.All(first.Layers, layer => Assert.Equal((30 * 2, 10 * 2), (layer.TrainingExampleCount, layer.HeldOutExampleCount)));
    }

    [Fact]
    public void Its_file_is_a_policy_and_replaces_an_older_one()
    {
        var options = new ExitClassifierOptions
        {
            Model = TestModels.Model("tiny-v11"), InputColumnName = "Ids", TargetColumnName = "Target", MinimumLayer = 3, OneProbePerLayer = true,
        };
        ExitClassifier classifier = Train(options, 40);
        using var folder = new TemporaryFolder(Path.GetTempPath());
        string path = Path.Combine(folder.Path, "policy.json");
        File.WriteAllText(path, "something older and longer than nothing");

        classifier.Save(path);

        Assert.Equal(classifier.ToJson(), File.ReadAllText(path));
        Assert.Equal([path], Directory.GetFiles(folder.Path));
        ExitPolicy policy = ExitPolicyJson.Parse(classifier.ToJson(), "policy.json");
        Assert.Equal(new ExitPolicy { MinimumLayer = 3, Confidence = Confidence.Classifier(classifier.Weights, classifier.Biases) }, policy);

        string message = Assert.Throws<DirectoryNotFoundException>(() => classifier.Save(Path.Combine(folder.Path, "missing", "policy.json"))).Message;
        Assert.Contains("policy file", message);
    }

    [Fact]
    public void Where_every_layer_agrees_on_everything_there_is_nothing_to_learn()
    {
        using var tampered = new TamperedBundle();
        foreach (int layer in (int[])[1, 2, 3, 4])
            Silence(tampered, layer);
        using EarlyExitModel model = EarlyExitModel.Load(tampered.Folder);
        foreach (bool onePerLayer in (bool[])[false, true])
        {
            var options = new ExitClassifierOptions { Model = model, InputColumnName = "Ids", TargetColumnName = "Target", OneProbePerLayer = onePerLayer };
            string message = Assert.Throws<InvalidOperationException>(() => Train(options, 20)).Message;
            Assert.StartsWith("Every layer agrees with the last one on every token", message);
        }
    }

    [Fact]
    public void Held_out_rows_without_a_disagreement_say_so_and_how_many_would_hold_one()
    {
        using var tampered = new TamperedBundle();
        Silence(tampered, 4);
        using EarlyExitModel model = EarlyExitModel.Load(tampered.Folder);
        var options = new ExitClassifierOptions { Model = model, InputColumnName = "Ids", TargetColumnName = "Target", HeldOutFraction = 0.1 };

        ExitClassifier classifier = Train(options, 30);

        ExitClassifierLayer silenced = classifier.Layers[3];
        Assert.Equal((1.0, double.NaN), (silenced.HeldOutAgreement, silenced.HeldOutAreaUnderRocCurve));
        int held = silenced.HeldOutExampleCount;
        int trained = silenced.TrainingExampleCount;
        double rows = Math.Max(4, Math.Ceiling(trained * 3.0 / held));
        Assert.Equal(
            FormattableString.Invariant($"The {held} held-out examples of layer 4 hold no disagreement with the last layer, ")
            + "so accuracy and area say nothing there. "
            + FormattableString.Invariant($"Nor do the {trained} training examples: its share is below {300.0 / trained:0.##} % by the rule of three, ")
            + FormattableString.Invariant($"and more than about {rows} held-out rows, {10 * rows} rows in all, would be needed to find one."),
            silenced.HeldOutProblem);
        Assert.Contains((ChannelMessageKind.Warning, silenced.HeldOutProblem!), _log);
        Assert.All(classifier.Layers, layer => Assert.Equal(double.IsNaN(layer.HeldOutAreaUnderRocCurve), layer.HeldOutProblem is not null));
    }

    [Fact]
    public void A_layer_that_always_agrees_gets_a_constant_probe_and_the_log_says_so()
    {
        using var tampered = new TamperedBundle();
        Silence(tampered, 4);
        using EarlyExitModel model = EarlyExitModel.Load(tampered.Folder);
        var options = new ExitClassifierOptions
        {
            Model = model, InputColumnName = "Ids", TargetColumnName = "Target", OneProbePerLayer = true, HeldOutFraction = 0,
        };

        ExitClassifier classifier = Train(options, 30);

        int count = classifier.Layers[3].TrainingExampleCount;
        Assert.Equal(1.0, classifier.Layers[3].TrainingAgreement);
        Assert.All(classifier.Weights[3], weight => Assert.Equal(0f, weight));
        Assert.Equal((count + 1.0) / (count + 2.0), classifier.Probe.Evaluate(4, new float[48]), 1e-6);
        Assert.Contains(classifier.Weights[2], weight => weight != 0);
        const string Warning = "At layer 4 every example agrees with the last layer: its probe gives the same confidence for every token.";
        Assert.Contains((ChannelMessageKind.Warning, Warning), _log);
        Assert.All(
            classifier.Layers,
            layer => Assert.Equal((0, double.NaN, double.NaN), (layer.HeldOutExampleCount, layer.HeldOutAccuracy, layer.HeldOutAreaUnderRocCurve)));
    }

    [Fact]
    public void What_cannot_be_trained_is_refused_in_words()
    {
        EarlyExitModel model = TestModels.Model("tiny-v11");
        var good = new ExitClassifierOptions { Model = model, InputColumnName = "Ids", TargetColumnName = "Target" };
        Assert.Contains("the data is empty", Assert.Throws<InvalidOperationException>(() => Train(good, 0)).Message);
        int seed = Enumerable.Range(0, 100).First(candidate => new ExampleSampling(candidate, 0.5, null).IsHeldOut(0));
        var allHeldOut = new ExitClassifierOptions { Model = model, InputColumnName = "Ids", TargetColumnName = "Target", HeldOutFraction = 0.5, Seed = seed };
        Assert.Contains("all are held out", Assert.Throws<InvalidOperationException>(() => Train(allHeldOut, 1)).Message);

        Refused<ArgumentException>("either ModelPath", new ExitClassifierOptions { InputColumnName = "Ids" });
        Refused<ArgumentException>("either ModelPath", new ExitClassifierOptions { InputColumnName = "Ids", Model = model, ModelPath = "bundle" });
        Refused<ArgumentException>(
            "ModelOptions", new ExitClassifierOptions { InputColumnName = "Ids", Model = model, ModelOptions = new EarlyExitModelOptions() });
        Refused<ArgumentException>("below that", new ExitClassifierOptions { InputColumnName = "Ids", Model = model, MinimumLayer = 5 });
        Refused<ArgumentException>("InputColumnName", new ExitClassifierOptions { InputColumnName = " ", Model = model });
        Refused<DirectoryNotFoundException>("nowhere", new ExitClassifierOptions { InputColumnName = "Ids", ModelPath = "nowhere" });
        Refused<ArgumentOutOfRangeException>("Could not find input column 'Other'", new ExitClassifierOptions { InputColumnName = "Other", Model = model });
        Refused<ArgumentOutOfRangeException>(
            "Could not find target column 'Other'", new ExitClassifierOptions { InputColumnName = "Ids", TargetColumnName = "Other", Model = model });
        Assert.Throws<ArgumentOutOfRangeException>(() => new ExitClassifierOptions { InputColumnName = "Ids", MinimumLayer = 0 });
        Assert.Throws<ArgumentOutOfRangeException>(() => new ExitClassifierOptions { InputColumnName = "Ids", HeldOutFraction = 1 });
        Assert.Throws<ArgumentOutOfRangeException>(() => new ExitClassifierOptions { InputColumnName = "Ids", HeldOutFraction = double.NaN });
        Assert.Throws<ArgumentOutOfRangeException>(() => new ExitClassifierOptions { InputColumnName = "Ids", MaxTokensPerRow = 0 });

        IDataView prompts = _context.Data.LoadFromEnumerable(DemoRow.Create(1));
        var texts = new ExitClassifierOptions { InputColumnName = "Prompt", Model = model };
        Assert.Contains("has no tokenizer", Assert.Throws<InvalidModelException>(() => _context.TextGeneration.TrainExitClassifier(prompts, texts)).Message);
        var numbers = new ExitClassifierOptions { InputColumnName = "Numbers", Model = model };
        Assert.Contains(
            "Schema mismatch for input column 'Numbers'",
            Assert.Throws<ArgumentOutOfRangeException>(() => _context.TextGeneration.TrainExitClassifier(prompts, numbers)).Message);
        Assert.Throws<ArgumentNullException>(() => _context.TextGeneration.TrainExitClassifier(null!, good));
        Assert.Throws<ArgumentNullException>(() => ((MLContext)null!).TextGeneration);
    }

    [Fact]
    public void What_the_data_throws_comes_out_as_it_is()
    {
        var options = new ExitClassifierOptions { Model = TestModels.Model("tiny-v11"), InputColumnName = "Ids", TargetColumnName = "Target" };
        IDataView data = _context.Data.LoadFromEnumerable(IdsRow.Create(3).Concat(Damaged()));

        Assert.Equal("Line 3 is damaged.", Assert.Throws<InvalidDataException>(() => _context.TextGeneration.TrainExitClassifier(data, options)).Message);

        static IEnumerable<IdsRow> Damaged()
        {
            yield return IdsRow.Create(1).Single();
            throw new InvalidDataException("Line 3 is damaged.");
        }
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Cancellation_ends_the_training_while_rows_are_read(bool generatesTargets)
    {
        using var cancellation = new CancellationTokenSource();
        int read = 0;
        IDataView data = _context.Data.LoadFromEnumerable(Rows());
        ExitClassifierOptions options = Small(trainer: null) with { TargetColumnName = generatesTargets ? null : "Target" };
        Assert.ThrowsAny<OperationCanceledException>(() => _context.TextGeneration.TrainExitClassifier(data, options, cancellation.Token));
        Assert.InRange(read, 5, 50);

        IEnumerable<IdsRow> Rows()
        {
            foreach (IdsRow row in IdsRow.Create(1000))
            {
                if (++read == 5)
                    cancellation.Cancel();
                yield return row;
            }
        }
    }

    [Fact]
    public void A_cancelled_token_ends_the_training_before_a_row_is_read()
    {
        bool wasRead = false;
        IDataView data = _context.Data.LoadFromEnumerable(Rows());
        Assert.ThrowsAny<OperationCanceledException>(
            () => _context.TextGeneration.TrainExitClassifier(data, Small(trainer: null), new CancellationToken(canceled: true)));
        Assert.False(wasRead);

        IEnumerable<IdsRow> Rows()
        {
            wasRead = true;
            yield return IdsRow.Create(1).Single();
        }
    }

    private static ExitClassifierOptions Small(IEstimator<ITransformer>? trainer) =>
        new() { Model = TestModels.Model("tiny-v11"), InputColumnName = "Ids", TargetColumnName = "Target", Trainer = trainer, HeldOutFraction = 0.1 };

    /// <summary>Makes a block's output its input.</summary>
    private static void Silence(TamperedBundle tampered, int layer)
    {
        tampered.EditTensor($"decoder.{layer}.self.o", 0, 2 * 16 * 48, 0);
        tampered.EditTensor($"decoder.{layer}.cross.o", 0, 2 * 16 * 48, 0);
        tampered.EditTensor($"decoder.{layer}.ff.wo", 0, 96 * 48, 0);
    }

    private void Refused<T>(string message, ExitClassifierOptions options)
        where T : Exception => Assert.Contains(message, Assert.Throws<T>(() => Train(options, 3)).Message);

    private ExitClassifier Train(ExitClassifierOptions options, int rows) =>
        _context.TextGeneration.TrainExitClassifier(_context.Data.LoadFromEnumerable(Count(IdsRow.Create(rows))), options);

    /// <summary>The hidden states that were trained on.</summary>
    private float[][] Examples(ExitClassifierOptions options, int rows)
    {
        var view = new ExitExampleView(ExitClassifierTraining.CreateSource(
            _context, _context.Data.LoadFromEnumerable(IdsRow.Create(rows)), options, options.Model!, ((IHostEnvironment)_context).Register("test")));
        return [.. view.GetColumn<float[]>("Features").Zip(view.GetColumn<bool>("IsHeldOut"))
            .Where(example => !example.Second).Select(example => example.First)];
    }

    private IEnumerable<T> Count<T>(IEnumerable<T> rows)
    {
        foreach (T row in rows)
        {
            _read++;
            yield return row;
        }
    }

    /// <summary>Remembers what a trainer was given and what it made of it.</summary>
    private sealed class RecordingTrainer(IEstimator<ITransformer> inner) : IEstimator<ITransformer>
    {
        public IDataView? Data { get; private set; }

        public ITransformer? Trained { get; private set; }

        public int Fits { get; private set; }

        public ITransformer Fit(IDataView input)
        {
            Fits++;
            Data = input;
            return Trained = inner.Fit(input);
        }

        public SchemaShape GetOutputSchema(SchemaShape inputSchema) => inner.GetOutputSchema(inputSchema);
    }
}
