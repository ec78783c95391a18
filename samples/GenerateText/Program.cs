// From a Hugging Face checkpoint to text generated with early exit in an ML.NET pipeline, timed beside full depth, saved and loaded.
using System.Diagnostics;
using Microsoft.ML;
using Microsoft.ML.EarlyExit;
using Samples;

const int Rounds = 5;
string zip = SampleFolders.Artifact("restaurants.zip");
Prompt[] prompts =
[
    new("describe: name[Blue Spice], eatType[coffee shop], area[city centre]"),
    new("describe: name[The Waterman], food[Italian], priceRange[cheap], customer rating[high], familyFriendly[yes]"),
    new("describe: name[Aromi], eatType[pub], food[Indian], near[Crowne Plaza Hotel]"),
    new("question: What is it near? context: A coffee shop in the riverside area, near Burger King, serving English food is The Eagle."),
    new("question: Is it family friendly? context: The Wrestlers is an average family friendly place."),
];

// 1. The checkpoint becomes an ONNX bundle, once: T5Converter.Convert(checkpoint, bundle); no Python.
string bundle = DemoModel.GetBundle();

// 2. A pipeline like any other.
var mlContext = new MLContext(seed: 1);
IDataView data = mlContext.Data.LoadFromEnumerable(prompts);
var options = new TextGenerationOptions
{
    BatchSize = 4,

    // From the sixth layer on, on a vocabulary that shrinks with depth and also chooses at the last layer: a token reads the whole LM head once, as at full
    // depth.
    Exit = new ExitPolicy { MinimumLayer = 6, Threshold = 0.7f, Pruning = VocabularyPruning.Decaying(), FullVocabularyAtLastLayer = false },
};
using EarlyExitModel model = EarlyExitModel.Load(bundle);
var pipeline = mlContext.Transforms.Text.GenerateText(new TextGenerationEstimator.Options
{
    OutputColumnName = "Text", InputColumnName = "Input", ExitLayersColumnName = "ExitLayers", Model = model, GenerationOptions = options,
});
ITransformer transformer = pipeline.Fit(data);
List<Generated> generated = Rows(transformer);

// 3. Token by token, coloured by its exit layer, beside the full model's text and time.
int layers = model.Configuration.DecoderLayerCount;
string scale = string.Concat(Enumerable.Range(1, layers).Select(layer => LayerColours.Paint($" {layer} ", layer, layers)));
Console.WriteLine($"A token's colour is the decoder layer it exited at: {scale}");
TextGenerationOptions atFullDepth = options with { Exit = null };
double earlyTotal = 0, fullTotal = 0;
foreach (Prompt prompt in prompts)
{
    // The first call of a kind makes what later ones use.
    GenerationResult early = model.Generate(prompt.Input, options);
    GenerationResult full = model.Generate(prompt.Input, atFullDepth);
    (double earlyTime, double fullTime) = Time(prompt.Input);
    (earlyTotal, fullTotal) = (earlyTotal + earlyTime, fullTotal + fullTime);
    T5StreamingDecoder decoder = model.Tokenizer!.CreateStreamingDecoder();
    Console.WriteLine();
    Console.WriteLine(prompt.Input);
    Console.WriteLine(
        $"  early exit  {string.Concat(early.TokenIds.Select((id, at) => LayerColours.Paint(decoder.Append(id), early.ExitLayers[at], layers)))}");
    Console.WriteLine($"  full depth  {full.Text}");
    Console.WriteLine($"  early exit  {earlyTime,5:F1} ms, {early.TokenIds.Count} tokens, mean exit {early.ExitLayers.Average():F1} of {layers} layers");
    Console.WriteLine($"  full depth  {fullTime,5:F1} ms, {full.TokenIds.Count} tokens");
}

Console.WriteLine();
Console.WriteLine(
    $"All texts: {earlyTotal:F0} ms with early exit, {fullTotal:F0} ms at full depth, {fullTotal / earlyTotal:F2} times as fast (medians of {Rounds} rounds).");

// 4. Saved and loaded as ML.NET does it: the model travels inside the zip.
mlContext.Model.Save(transformer, data.Schema, zip);
ITransformer loaded = new MLContext().Model.Load(zip, out _);
bool isSame = Rows(loaded).Select(row => row.Text).SequenceEqual(generated.Select(row => row.Text));
(loaded as IDisposable)?.Dispose();
Console.WriteLine();
Console.WriteLine($"Saved {new FileInfo(zip).Length >> 20} MB, loaded again: {(isSame ? "the same texts" : "OTHER TEXTS")}.");
return isSame ? 0 : 1;

// Both take turns, so that whatever else the machine does slows both.
(double Early, double Full) Time(string input)
{
    var times = (Early: new double[Rounds], Full: new double[Rounds]);
    for (int round = 0; round < Rounds; round++)
    {
        long start = Stopwatch.GetTimestamp();
        model.Generate(input, options);
        times.Early[round] = Stopwatch.GetElapsedTime(start).TotalMilliseconds;
        start = Stopwatch.GetTimestamp();
        model.Generate(input, atFullDepth);
        times.Full[round] = Stopwatch.GetElapsedTime(start).TotalMilliseconds;
    }

    return (times.Early.Order().ElementAt(Rounds / 2), times.Full.Order().ElementAt(Rounds / 2));
}

List<Generated> Rows(ITransformer run) => [.. mlContext.Data.CreateEnumerable<Generated>(run.Transform(data), reuseRowObject: false)];

/// <summary>A row as the pipeline returns it.</summary>
internal sealed class Generated
{
    public string Text { get; set; } = "";

    public int[] ExitLayers { get; set; } = [];
}
