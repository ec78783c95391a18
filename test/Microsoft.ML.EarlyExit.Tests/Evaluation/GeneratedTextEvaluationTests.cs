using Microsoft.ML.Data;

namespace Microsoft.ML.EarlyExit.Tests;

public sealed class GeneratedTextEvaluationTests
{
    private readonly MLContext _context = new(seed: 1);

    [Fact]
    public void Generated_rows_are_evaluated_in_one_pass_over_their_pipeline()
    {
        EarlyExitModel model = TestModels.Model(TestModels.Demo);
        var options = new TextGenerationOptions { Prefix = "describe: ", MaxNewTokens = 6, BatchSize = 3 };
        IDataView data = _context.Data.LoadFromEnumerable(DemoRow.Create(5));
        IDataView output = _context.Transforms.Text.GenerateText("Full", "Prompt", model, options)
            .Append(_context.Transforms.Text.GenerateText(new TextGenerationEstimator.Options
            {
                OutputColumnName = "Text", InputColumnName = "Prompt", Model = model, ExitLayersColumnName = "Layers", OperationCountsColumnName = "Operations",
                GenerationOptions = options with { Exit = new ExitPolicy { StaticExitLayer = 4 } },
            })).Fit(data).Transform(data);

        TextGenerationMetrics metrics = _context.TextGeneration.Evaluate(output, new TextGenerationEvaluationOptions
        {
            PredictionColumnName = "Text", FullDepthColumnName = "Full", ExitLayersColumnName = "Layers", OperationCountsColumnName = "Operations",
        });

        GenerationResult[] results =
        [
            .. DemoRow.Create(5).Select(row => model.Generate(row.Prompt!, options with { Exit = new ExitPolicy { StaticExitLayer = 4 } })),
        ];
        Assert.Equal(4, metrics.Exits!.MeanExitLayer);
        Assert.Equal(results.Sum(result => result.TokenIds.Count), metrics.Exits.TokenCount);
        Assert.Equal(results.Average(result => (double)result.Operations.Total), metrics.Operations!.Value.Total, 1e-3);
        Assert.Equal(results.Average(result => (double)result.Operations.Paper), metrics.Operations!.Value.Paper, 1e-3);
        Assert.Equal(
            DemoRow.Create(5).Select((row, index) => model.Generate(row.Prompt!, options).Text == results[index].Text ? 1.0 : 0).Average(),
            metrics.Agreement!.Value.Exact);
        Assert.True(metrics.TokensPerSecond > 0);
    }
}
