using System.Diagnostics;
using Microsoft.ML.Data;

namespace Microsoft.ML.EarlyExit.Benchmarks;

/// <summary>
/// What a row costs through ML.NET against the model itself. Both ways take turns within each round, and the ratio is taken round by round: a difference of a
/// few percent drowns in what the machine does between two separate measurements.
/// </summary>
internal static class PipelineOverhead
{
    private const int Rounds = 9;
    private const int PromptsPerTask = 40;
    private const double LargestOverhead = 0.03;

    public static int Run()
    {
        using EarlyExitModel model = BenchmarkModels.Load(BenchmarkModels.Demo);
        string[] prompts = [.. DemoPrompts.Test(PromptsPerTask)];
        GenerationInput[] inputs = [.. prompts.Select(GenerationInput.FromText)];
        var context = new MLContext();
        IDataView data = context.Data.LoadFromEnumerable(prompts.Select(prompt => new Row { Prompt = prompt }));
        bool isKept = true;

        Console.WriteLine($"path | batch | ms a row, model | ms a row, ML.NET | ML.NET against model, median of {Rounds} rounds");
        foreach (int batchSize in new[] { 1, 8 })
        {
            var options = new TextGenerationOptions { BatchSize = batchSize };
            using TextGenerationTransformer transformer = context.Transforms.Text.GenerateText("Text", "Prompt", model, options).Fit(data);
            Compare(
                "Transform", batchSize,
                () => model.Generate(inputs, options).Select(result => result.Text!),
                () => transformer.Transform(data).GetColumn<string>("Text"));
            if (batchSize > 1)
                continue;
            using var engine = context.Model.CreatePredictionEngine<Row, Output>(transformer, new PredictionEngineOptions { OwnsTransformer = false });
            Compare(
                "PredictionEngine", batchSize,
                () => prompts.Select(prompt => model.Generate(prompt, options).Text!),
                () => prompts.Select(prompt => engine.Predict(new Row { Prompt = prompt }).Text));
        }

        Console.WriteLine(isKept ? "All promises are kept." : $"An overhead exceeds {LargestOverhead:P0}.");
        return isKept ? 0 : 1;

        void Compare(string path, int batchSize, Func<IEnumerable<string>> direct, Func<IEnumerable<string>> pipeline)
        {
            if (!direct().SequenceEqual(pipeline()))
                throw new InvalidOperationException($"{path} at batch {batchSize} does not generate what the model does.");
            var ratios = new List<double>();
            double directBest = double.MaxValue;
            double pipelineBest = double.MaxValue;
            for (int round = 0; round < Rounds; round++)
            {
                // Who goes second may find a warmer or a hotter machine.
                bool directFirst = round % 2 == 0;
                double first = Time(directFirst ? direct : pipeline);
                double second = Time(directFirst ? pipeline : direct);
                (double directTime, double pipelineTime) = directFirst ? (first, second) : (second, first);
                ratios.Add(pipelineTime / directTime);
                directBest = Math.Min(directBest, directTime);
                pipelineBest = Math.Min(pipelineBest, pipelineTime);
            }

            ratios.Sort();
            double overhead = ratios[Rounds / 2] - 1;
            isKept &= overhead <= LargestOverhead;
            Console.WriteLine(FormattableString.Invariant(
                $"{path} | {batchSize} | {directBest / prompts.Length:F2} | {pipelineBest / prompts.Length:F2} | {overhead:+0.0%;-0.0%}"));
        }
    }

    private static double Time(Func<IEnumerable<string>> generate)
    {
        var watch = Stopwatch.StartNew();
        generate().Count(text => text.Length >= 0);
        return watch.Elapsed.TotalMilliseconds;
    }

    private sealed class Row
    {
        public string Prompt { get; set; } = "";
    }

    private sealed class Output
    {
        public string Text { get; set; } = "";
    }
}
