// From a Hugging Face checkpoint to text generated with early exit in an ML.NET pipeline, saved and loaded.
using Microsoft.ML;
using Microsoft.ML.EarlyExit;
using GenerateText;
using Samples;

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
var options = new TextGenerationOptions { BatchSize = 4, Exit = new ExitPolicy { MinimumLayer = 4, Threshold = 0.9f, Pruning = VocabularyPruning.Decaying() } };
using EarlyExitModel model = EarlyExitModel.Load(bundle);
var pipeline = mlContext.Transforms.Text.GenerateText(new TextGenerationEstimator.Options
{
    OutputColumnName = "Text", InputColumnName = "Input", ExitLayersColumnName = "ExitLayers", Model = model, GenerationOptions = options,
});
ITransformer transformer = pipeline.Fit(data);
List<Generated> generated = Rows(transformer);

// 3. Token by token, coloured by the layer it left at, beside the full model's text.
int layers = model.Configuration.DecoderLayerCount;
string scale = string.Concat(Enumerable.Range(1, layers).Select(layer => LayerColours.Paint($" {layer} ", layer, layers)));
Console.WriteLine($"A token's colour is the decoder layer it left at: {scale}");
IReadOnlyList<GenerationResult> fullDepth = model.Generate([.. prompts.Select(prompt => GenerationInput.FromText(prompt.Input))], options with { Exit = null });
for (int row = 0; row < prompts.Length; row++)
{
    GenerationResult early = model.Generate(prompts[row].Input, options);
    T5StreamingDecoder decoder = model.Tokenizer!.CreateStreamingDecoder();
    Console.WriteLine();
    Console.WriteLine(prompts[row].Input);
    Console.WriteLine($"  early exit  {string.Concat(early.TokenIds.Select((id, at) => LayerColours.Paint(decoder.Append(id), early.ExitLayers[at], layers)))}");
    Console.WriteLine($"  full depth  {fullDepth[row].Text}");
    Console.WriteLine($"  mean exit   {early.ExitLayers.Average():F1} of {layers} layers over {early.TokenIds.Count} tokens");
}

// 4. Saved and loaded as ML.NET does it: the model travels inside the zip.
mlContext.Model.Save(transformer, data.Schema, zip);
ITransformer loaded = new MLContext().Model.Load(zip, out _);
bool isSame = Rows(loaded).Select(row => row.Text).SequenceEqual(generated.Select(row => row.Text));
(loaded as IDisposable)?.Dispose();
Console.WriteLine();
Console.WriteLine($"Saved {new FileInfo(zip).Length >> 20} MB, loaded again: {(isSame ? "the same texts" : "OTHER TEXTS")}.");
return isSame ? 0 : 1;

List<Generated> Rows(ITransformer run) => [.. mlContext.Data.CreateEnumerable<Generated>(run.Transform(data), reuseRowObject: false)];
