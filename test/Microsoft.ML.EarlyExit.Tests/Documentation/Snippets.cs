using System.Numerics.Tensors;
using Microsoft.ML;
using Microsoft.ML.Data;
using Microsoft.ML.EarlyExit;
using Microsoft.ML.EarlyExit.Conversion;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>The C# of the documentation, word for word, so that it compiles; <see cref="DocumentationTests"/> looks for it here. Nothing of it runs.</summary>
internal static class Snippets
{
    internal static void Readme()
    {
        // A folder as Hugging Face publishes it; here the demo checkpoint of this repository.
        if (!Directory.Exists("restaurants.bundle"))
            T5Converter.Convert("samples/t5-restaurants", "restaurants.bundle");

        var mlContext = new MLContext();
        IDataView data = mlContext.Data.LoadFromEnumerable(new[] { new { Facts = "name[Blue Spice], eatType[coffee shop], area[city centre]" } });
        var pipeline = mlContext.Transforms.Text.GenerateText("Description", "Facts", modelPath: "restaurants.bundle",
            new TextGenerationOptions
            {
                Prefix = "describe: ", MaxNewTokens = 64, BatchSize = 8,
                Exit = new ExitPolicy { MinimumLayer = 6, Threshold = 0.7f, Pruning = VocabularyPruning.Decaying(), FullVocabularyAtLastLayer = false },
            });
        ITransformer model = pipeline.Fit(data);
        foreach (string description in model.Transform(data).GetColumn<string>("Description"))
            Console.WriteLine(description);
        mlContext.Model.Save(model, data.Schema, "descriptions.zip");      // the whole model travels in the zip
    }

    internal static void LibraryPackage()
    {
        var mlContext = new MLContext();
        var pipeline = mlContext.Transforms.Text.GenerateText("Summary", "Dialogue", modelPath: "t5-small.bundle",
            new TextGenerationOptions
            {
                Prefix = "summarize: ",
                Exit = new ExitPolicy { MinimumLayer = 3, Threshold = 0.7f, Pruning = VocabularyPruning.Decaying(), FullVocabularyAtLastLayer = false },
            });
    }

    internal static void ConversionPackage()
    {
        T5Converter.Convert("flan-t5-small", "flan-t5-small.bundle");
    }

    internal static void CustomMeasure()
    {
        var entropy = Confidence.Register("entropy", ConfidenceNeeds.Logits, static token =>
        {
            float[] probabilities = new float[token.Logits.Length];
            TensorPrimitives.SoftMax(token.Logits, probabilities);
            double sum = 0;
            foreach (float probability in probabilities)
                sum -= probability > 0 ? probability * Math.Log(probability) : 0;
            return (float)Math.Clamp(1 - (sum / Math.Log(probabilities.Length)), 0, 1);
        });
        var policy = new ExitPolicy { MinimumLayer = 2, Threshold = 0.95f, Confidence = entropy };
    }

    internal static void Drift(IEnumerable<double> losses)
    {
        var monitor = new RiskMonitor(delta: 0.1, alpha: 0.05);
        foreach (double loss in losses)
        {
            RiskMonitorState state = monitor.Add(loss);
            if (state.HasDrifted)
            {
                Console.WriteLine($"after {state.Count} rows: mean loss {state.MeanLoss}, p-value {state.PValue}");
                break;
            }
        }
    }

    internal static void Overloads(MLContext mlContext, IDataView data)
    {
        var pipeline = mlContext.Transforms.Text.GenerateText("Summary", "Dialogue", modelPath: "t5-small.bundle");
        ITransformer transformer = pipeline.Fit(data);
        foreach (string summary in transformer.Transform(data).GetColumn<string>("Summary"))
            Console.WriteLine(summary);
    }

    internal static void AllOptions(MLContext mlContext)
    {
        TextGenerationEstimator estimator = mlContext.Transforms.Text.GenerateText(new TextGenerationEstimator.Options
        {
            OutputColumnName = "Summary",
            InputColumnName = "Dialogue",
            ExitLayersColumnName = "ExitLayers",
            StopReasonColumnName = "StopReason",
            ModelPath = "t5-small.bundle",
            GenerationOptions = new TextGenerationOptions
            {
                Prefix = "summarize: ", MaxNewTokens = 64, BatchSize = 8,
                Exit = new ExitPolicy { MinimumLayer = 4, Threshold = 0.9f },
            },
        });
    }

    internal static void Cache(MLContext mlContext)
    {
        var cached = mlContext.Transforms.Text.GenerateText("Summary", "Dialogue", modelPath: "t5-small.bundle")
            .AppendCacheCheckpoint(mlContext)
            .Append(mlContext.Transforms.Text.FeaturizeText("Features", "Summary"));
    }

    internal static void DataSets(MLContext mlContext)
    {
        IDataView questions = mlContext.Data.LoadFromSquadFile("dev-v1.1.json");
        ITransformer answering = mlContext.Transforms.Text.GenerateText("Answer", "Text", modelPath: "t5-small.bundle").Fit(questions);
        IDataView answered = answering.Transform(mlContext.Data.TakeRows(questions, 100));
    }

    internal static void Classifier(MLContext mlContext, IDataView data)
    {
        ExitClassifier classifier = mlContext.TextGeneration.TrainExitClassifier(data, new ExitClassifierOptions
        {
            ModelPath = "t5-small.bundle", InputColumnName = "Dialogue", MinimumLayer = 2,
            GenerationOptions = new TextGenerationOptions { Prefix = "summarize: ", MaxNewTokens = 64, BatchSize = 8 },
        });
        foreach (ExitClassifierLayer layer in classifier.Layers)
            Console.WriteLine(layer.HeldOutProblem ?? $"{layer.Layer}: {layer.HeldOutAgreement:F2} agree, {layer.HeldOutAccuracy:F2} correct, area {layer.HeldOutAreaUnderRocCurve:F2}");
        classifier.Save("policy.json");
        var policy = new ExitPolicy { MinimumLayer = 2, Threshold = 0.95f, Confidence = classifier.Confidence };
    }

    internal static void Scores(MLContext mlContext)
    {
        LayerScoringEstimator scoring = mlContext.Transforms.Text.ScoreLayers(new LayerScoringEstimator.Options
        {
            InputColumnName = "Dialogue", TargetColumnName = "Summary",
            ArgMaxColumnName = "LayerIds", RanksColumnName = "Ranks", ConfidencesColumnName = "Confidences", LogProbabilitiesColumnName = "LogProbabilities",
            ModelPath = "t5-small.bundle",
            GenerationOptions = new TextGenerationOptions { Prefix = "summarize: ", Exit = new ExitPolicy { MinimumLayer = 2, Confidence = Confidence.JsdContrastive() } },
        });
    }

    internal static void Log(MLContext mlContext)
    {
        mlContext.Log += (_, log) =>
        {
            if (log.Kind >= ChannelMessageKind.Info)
                Console.WriteLine(log.Message);
        };
    }

    internal static void Engine(MLContext mlContext, IDataView data)
    {
        using TextGenerationTransformer shared = mlContext.Transforms.Text.GenerateText("Summary", "Dialogue", modelPath: "t5-small.bundle").Fit(data);
        using var engine = mlContext.Model.CreatePredictionEngine<Conversation, ConversationSummary>(
            shared, new PredictionEngineOptions { OwnsTransformer = false });
        Console.WriteLine(engine.Predict(new Conversation { Dialogue = "…" }).Summary);
    }

    internal static void SaveAndLoad(MLContext mlContext, ITransformer transformer, IDataView data)
    {
        mlContext.Model.Save(transformer, data.Schema, "summarizer.zip");
        ITransformer loaded = mlContext.Model.Load("summarizer.zip", out DataViewSchema schema);
    }

    internal static void OneModel(MLContext mlContext)
    {
        using EarlyExitModel model = EarlyExitModel.Load("t5-small.bundle", new EarlyExitModelOptions { ThreadCount = 4 });
        var twice = mlContext.Transforms.Text.GenerateText("Summary", "Dialogue", model, new TextGenerationOptions { Prefix = "summarize: " })
            .Append(mlContext.Transforms.Text.GenerateText("German", "Summary", model, new TextGenerationOptions { Prefix = "translate English to German: " }));
    }

    internal static async Task Streaming(MLContext mlContext, CancellationToken cancellationToken)
    {
        ITransformer pipelineFromFile = mlContext.Model.Load("summarizer.zip", out _);
        TextGenerationTransformer generation = pipelineFromFile as TextGenerationTransformer
            ?? ((IEnumerable<ITransformer>)pipelineFromFile).OfType<TextGenerationTransformer>().First();
        await foreach (GeneratedToken token in generation.Model.GenerateStreamingAsync("…", generation.GenerationOptions, cancellationToken))
            Console.Write(token.TextDelta);
    }

    internal static void WarmUp(TextGenerationTransformer generation)
    {
        using EarlyExitModel warm = EarlyExitModel.Load("t5-small.bundle", null, warmUp: generation.GenerationOptions);
        generation.WarmUp();
    }

    internal sealed class Conversation
    {
        public string Dialogue { get; set; } = "";
    }

    internal sealed class ConversationSummary
    {
        public string Summary { get; set; } = "";
    }

    internal static void Evaluate(MLContext mlContext, ITransformer transformer, IDataView test)
    {
        TextGenerationMetrics metrics = mlContext.TextGeneration.Evaluate(transformer.Transform(test), labelColumnName: "References", predictionColumnName: "Summary");
        Console.WriteLine($"ROUGE-L {metrics.Rouge!.Value.RougeL.FMeasure:F3}; {metrics.Bleu}");
    }

    internal static void EvaluationPackage()
    {
        var rouge = new RougeScorer(useStemmer: true);
        Console.WriteLine(rouge.Score("the cat sat on the mat", "a cat is on the mat").RougeL.FMeasure);

        var mlContext = new MLContext();
        IDataView data = mlContext.Data.LoadFromEnumerable(new[] { new { Summary = "the cat sat on the mat", Reference = "a cat is on the mat" } });
        TextGenerationMetrics metrics = mlContext.TextGeneration.Evaluate(data, labelColumnName: "Reference", predictionColumnName: "Summary");
        Console.WriteLine(metrics.Bleu);
    }

    internal static void EvaluateWithFullDepth(MLContext mlContext, EarlyExitModel model, TextGenerationOptions options, ExitPolicy policy, IDataView test)
    {
        var pipeline = mlContext.Transforms.Text.GenerateText("FullDepth", "Dialogue", model, options)
            .Append(mlContext.Transforms.Text.GenerateText(new TextGenerationEstimator.Options
            {
                OutputColumnName = "Summary", InputColumnName = "Dialogue", ExitLayersColumnName = "ExitLayers", OperationCountsColumnName = "Operations", Model = model,
                GenerationOptions = options with { Exit = policy },
            }));
        TextGenerationMetrics metrics = mlContext.TextGeneration.Evaluate(pipeline.Fit(test).Transform(test), new TextGenerationEvaluationOptions
        {
            PredictionColumnName = "Summary", LabelColumnName = "References", FullDepthColumnName = "FullDepth",
            ExitLayersColumnName = "ExitLayers", OperationCountsColumnName = "Operations", BootstrapSamples = 1000,
        });
        Console.WriteLine($"{metrics.Agreement!.Value.Exact:P0} as full depth, mean exit {metrics.Exits!.MeanExitLayer:F2}, {metrics.TokensPerSecond:F0} tokens/s");
        Console.WriteLine(metrics.ConfidenceIntervals["Rouge.RougeL.FMeasure"]);
    }

    internal static void ScoreTexts()
    {
        RougeScores scores = new RougeScorer(useStemmer: true).Score("The cats sat.", "A cat sat there.", "The cat was sitting.");
        double f1 = SquadScorer.Score("in the Eagle", "The Eagle", "Eagle pub").F1;
        double russian = new RougeScorer(tokenizer: RougeTokenizer.Unicode).Score("Хороший ресторан", "Это хороший ресторан").RougeL.FMeasure;
        double chrfPlusPlus = ChrfScorer.Score(["The cats sat."], [["A cat sat there."]], wordOrder: 2).Score;
        double bleu = BleuScorer.Score(["我们吃饭"], [["我们在吃饭"]], BleuTokenizer.Zh).Score;
    }

    internal static void Calibrate(MLContext mlContext, IDataView prompts)
    {
        ExitCalibrationEstimator calibration = mlContext.TextGeneration.CalibrateExit(new ExitCalibrationEstimator.Options
        {
            Generation = new TextGenerationEstimator.Options
            {
                OutputColumnName = "Summary", InputColumnName = "Dialogue", ModelPath = "t5-small.bundle",
                GenerationOptions = new TextGenerationOptions { Prefix = "summarize: ", MaxNewTokens = 64, BatchSize = 8 },
            },
            Policies = [new ExitPolicy { MinimumLayer = 2, Pruning = VocabularyPruning.Decaying() }, new ExitPolicy { Confidence = Confidence.HiddenStateSaturation }],
            Delta = 0.1, Epsilon = 0.05, Loss = CalibrationLoss.RougeL,
        });
        TextGenerationTransformer model = calibration.Fit(prompts);
        Console.WriteLine(model.Certificate);                               // the statement, and a table of all candidates
        mlContext.Model.Save(model, prompts.Schema, "summarizer.zip");      // the certificate travels with the model
    }

    internal static void Drift(MLContext mlContext, TextGenerationTransformer calibrated, IDataView laterPrompts)
    {
        var monitor = new RiskMonitor(calibrated.Certificate!.Delta, alpha: 0.01);
        RiskMonitorState drift = mlContext.TextGeneration.EvaluateDrift(calibrated, laterPrompts, monitor);
        if (drift.HasDrifted)
            Console.WriteLine($"{drift.Count} prompts lose {drift.MeanLoss} on average: calibrate again.");
    }
}
