// Ids in, ids out: for callers with a tokenizer of their own. The pipeline sees no text.
using Microsoft.ML;
using Microsoft.ML.Data;
using Microsoft.ML.EarlyExit;
using Samples;

string[] texts =
[
    "describe: name[Blue Spice], eatType[coffee shop], area[city centre]",
    "question: Is it family friendly? context: The Wrestlers is an average family friendly place.",
];

// Stands in for your tokenizer. The encoder takes the ids as they are, so </s> is at their end.
T5Tokenizer tokenizer = T5Tokenizer.Load(Path.Combine(SampleFolders.Checkpoint, "spiece.model"));
IEnumerable<TokenRow> rows = texts.Select(text => new TokenRow { Ids = [.. tokenizer.Encode(text, addEndOfSequence: true)] });

var mlContext = new MLContext();
IDataView data = mlContext.Data.LoadFromEnumerable(rows);
using TextGenerationTransformer model = mlContext.Transforms.Text.GenerateText(new TextGenerationEstimator.Options
{
    InputColumnName = "Ids",
    TokenIdsColumnName = "GeneratedIds",
    ExitLayersColumnName = "ExitLayers",
    ConfidencesColumnName = "Confidences",
    StopReasonColumnName = "StopReason",
    ModelPath = DemoModel.GetBundle(),
    GenerationOptions = new TextGenerationOptions { BatchSize = 2, Exit = new ExitPolicy { MinimumLayer = 4, Threshold = 0.9f } },
}).Fit(data);

foreach (GeneratedRow row in mlContext.Data.CreateEnumerable<GeneratedRow>(model.Transform(data), reuseRowObject: false))
{
    Console.WriteLine($"ids         {string.Join(' ', row.GeneratedIds)}");
    Console.WriteLine($"layers      {string.Join(' ', row.ExitLayers)}");
    Console.WriteLine($"confidences {string.Join(' ', row.Confidences.Select(confidence => confidence.ToString("F2")))}");
    Console.WriteLine($"ended by    {row.StopReason}");
    Console.WriteLine($"text        {tokenizer.Decode(row.GeneratedIds)}");
    Console.WriteLine();
}

/// <summary>A row to generate from, in ids.</summary>
internal sealed class TokenRow
{
    [VectorType]
    public int[] Ids { get; set; } = [];
}

/// <summary>A row as the pipeline returns it: one entry per generated token.</summary>
internal sealed class GeneratedRow
{
    public int[] GeneratedIds { get; set; } = [];

    public int[] ExitLayers { get; set; } = [];

    public float[] Confidences { get; set; } = [];

    public string StopReason { get; set; } = "";
}
