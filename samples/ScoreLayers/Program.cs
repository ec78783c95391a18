// What every layer would have chosen for given texts: by the library, and by ML.NET's own ONNX transform over an exported graph. One pipeline holds both.
using Microsoft.ML;
using Microsoft.ML.Data;
using Microsoft.ML.EarlyExit;
using Microsoft.ML.EarlyExit.Conversion;
using Samples;
using ScoreLayers;

T5Tokenizer tokenizer = T5Tokenizer.Load(Path.Combine(SampleFolders.Checkpoint, "spiece.model"));
TargetRow[] rows =
[
    new("describe: name[Blue Spice], eatType[coffee shop], area[city centre]", "Blue Spice is a coffee shop in the city centre.", tokenizer),
    new(
        "question: What is it near? context: A coffee shop in the riverside area, near Burger King, serving English food is The Eagle.",
        "Burger King", tokenizer),
];
var mlContext = new MLContext();
IDataView data = mlContext.Data.LoadFromEnumerable(rows);

// The exported file has its weights inside, and so lives on in a saved model.
string bundle = DemoModel.GetBundle();
string onnx = SampleFolders.Artifact("layer-scoring.onnx");
T5Converter.ExportLayerScoring(bundle, onnx);
using var model = EarlyExitModel.Load(bundle);
int layerCount = model.Configuration.DecoderLayerCount;
string[] outputs = [.. Enumerable.Range(1, layerCount).Select(layer => $"argmax_{layer}")];
var shapes = outputs.ToDictionary(name => name, _ => new[] { 1, TargetRow.TargetLength });
shapes["input_ids"] = shapes["attention_mask"] = [1, TargetRow.InputLength];
shapes["decoder_input_ids"] = [1, TargetRow.TargetLength];
for (int layer = 0; layer <= layerCount; layer++)
    shapes[$"hidden_states_{layer}"] = [1, TargetRow.TargetLength, model.Configuration.ModelDimension];

var pipeline = mlContext.Transforms.Text.ScoreLayers(new LayerScoringEstimator.Options
{
    InputColumnName = "Prompt",
    TargetColumnName = "Target",
    ArgMaxColumnName = "ArgMax",
    ConfidencesColumnName = "Confidences",
    LogProbabilitiesColumnName = "LogProbabilities",
    ModelPath = bundle,
}).Append(mlContext.Transforms.ApplyOnnxModel(outputs, ["input_ids", "attention_mask", "decoder_input_ids"], onnx, shapes, null, false, 100));
string zip = SampleFolders.Artifact("score-layers.zip");
using (var fitted = pipeline.Fit(data))
    mlContext.Model.SaveAtomically(fitted, data.Schema, zip);
File.Delete(onnx);

ITransformer loaded = new MLContext().Model.Load(zip, out _);
IDataView scored = loaded.Transform(data);
int[][] argMax = [.. scored.GetColumn<int[]>("ArgMax")];
float[][] confidences = [.. scored.GetColumn<float[]>("Confidences")];
float[][] logProbabilities = [.. scored.GetColumn<float[]>("LogProbabilities")];
int same = 0, all = 0;
for (int layer = 1; layer <= layerCount; layer++)
{
    long[][] byOnnx = [.. scored.GetColumn<long[]>($"argmax_{layer}")];
    for (int row = 0; row < rows.Length; row++)
    {
        // Layer after layer, and in each position after position.
        int length = argMax[row].Length / layerCount;
        Range at = ((layer - 1) * length)..(layer * length);
        same += argMax[row][at].Zip(byOnnx[row]).Count(pair => pair.First == pair.Second);
        all += length;
        if (row > 0)
            continue;
        Console.Write($"layer {layer,2}, confidence {confidences[row][at].Average():F2}, log-probability {logProbabilities[row][at].Sum(),7:F2}: ");
        Console.WriteLine(tokenizer.Decode(argMax[row][at]));
    }
}

((IDisposable)loaded).Dispose();
Console.WriteLine($"ML.NET's ONNX transform says the same at {same} of {all} places.");
return same == all ? 0 : 1;
