// How good are the texts with early exit, how far do they agree with the full model's, and where did the tokens exit? One pass over a pipeline says it.
using Microsoft.ML;
using Microsoft.ML.Data;
using Microsoft.ML.EarlyExit;
using Samples;

using EarlyExitModel model = EarlyExitModel.Load(DemoModel.GetBundle());
var mlContext = new MLContext();
IDataView places = mlContext.Data.LoadFromEnumerable(Places());

// 1. The same model twice: at full depth, and with tokens that may exit early.
var options = new TextGenerationOptions { Prefix = "describe: ", BatchSize = 8 };
var pipeline = mlContext.Transforms.Text.GenerateText("FullDepth", "Input", model, options)
    .Append(mlContext.Transforms.Text.GenerateText(new TextGenerationEstimator.Options
    {
        OutputColumnName = "Text", InputColumnName = "Input", ExitLayersColumnName = "ExitLayers", OperationCountsColumnName = "Operations", Model = model,
        GenerationOptions = options with { Exit = new ExitPolicy { MinimumLayer = 4, Threshold = 0.9f, Pruning = VocabularyPruning.Decaying() } },
    }));
IDataView described = mlContext.Data.Cache(pipeline.Fit(places).Transform(places));

// 2. Against the references and against full depth, with intervals of 95 %.
var evaluation = new TextGenerationEvaluationOptions
{
    PredictionColumnName = "Text", LabelColumnName = "References", FullDepthColumnName = "FullDepth",
    ExitLayersColumnName = "ExitLayers", OperationCountsColumnName = "Operations",
    BootstrapSamples = 1000,
};
TextGenerationMetrics metrics = mlContext.TextGeneration.Evaluate(described, evaluation);
ConfidenceInterval interval = metrics.ConfidenceIntervals["Rouge.RougeL.FMeasure"];
double rougeL = metrics.Rouge!.Value.RougeL.FMeasure;
Console.WriteLine(FormattableString.Invariant(
    $"ROUGE-L {rougeL:F3} ({interval.Lower:F3} to {interval.Upper:F3}), BLEU {metrics.Bleu!.Score:F1} over {metrics.ScoredRowCount} rows."));
Console.WriteLine(FormattableString.Invariant($"{metrics.Agreement!.Value.Exact:P0} of the texts are the full model's, word for word."));
Console.WriteLine(FormattableString.Invariant(
    $"Mean exit {metrics.Exits!.MeanExitLayer:F2} of {model.Configuration.DecoderLayerCount} layers; {metrics.Operations!.Value.Total / 1e6:F0} MFLOP a row."));

// 3. Row by row: the columns of scores are like any others.
IDataView different = mlContext.Data.FilterRowsByColumn(mlContext.TextGeneration.EvaluateRows(described, evaluation), "AgreementRougeL", upperBound: 0.9);
foreach (RowScores row in mlContext.Data.CreateEnumerable<RowScores>(different, reuseRowObject: false).Take(2))
    Console.WriteLine(FormattableString.Invariant($"ROUGE-L {row.RougeL[2]:F2}  early exit  {row.Text}\n              full depth  {row.FullDepth}"));

static IEnumerable<Place> Places() =>
    from name in (string[])["Blue Spice", "Aromi", "The Wrestlers"]
    from eatType in (string[])["pub", "coffee shop"]
    from food in (string[])["English", "Indian", "Italian"]
    from area in (string[])["city centre", "riverside"]
    select new Place(
        $"name[{name}], eatType[{eatType}], food[{food}], area[{area}], near[Burger King]",
        $"{name} is a {eatType} near Burger King in the {area} area that serves {food} food.",
        $"Near Burger King in the {area} there is a {eatType} called {name}. It offers {food} food.");

/// <summary>What is known of a place, and descriptions of it that would be right.</summary>
internal sealed class Place(string input, params string[] references)
{
    public string Input { get; } = input;

    public string[] References { get; } = references;
}

/// <summary>What is shown of a row and its scores.</summary>
internal sealed class RowScores
{
    public string Text { get; set; } = "";

    public string FullDepth { get; set; } = "";

    /// <summary>Precision, recall and F-measure.</summary>
    [VectorType(3)]
    public double[] RougeL { get; set; } = [];

    public double AgreementRougeL { get; set; }
}
