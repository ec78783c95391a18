// The fastest threshold that prompts certify: with 95 % confidence, new answers lose at most 0.05 of the full model's F1 on average. The certificate travels
// with the model.
using Microsoft.ML;
using Microsoft.ML.EarlyExit;
using Samples;

// Prompts as they would come later, drawn at random, and nobody has to label them: what is bounded is the difference from the full model.
var random = new Random(1);
string Draw(params string[] words) => words[random.Next(words.Length)];
Prompt[] prompts = [.. Enumerable.Range(0, 120).Select(_ => new Prompt(
    $"question: {Draw("Which cuisine does it offer?", "Where is it?", "What is it near?", "Is it family friendly?", "How do customers rate it?")} "
    + $"context: {Draw("Aromi", "Blue Spice", "Cocum", "The Mill")} "
    + $"is a {Draw("pub", "coffee shop")} near {Draw("Burger King", "The Sorrento", "Avalon")} in the {Draw("city centre", "riverside area")} "
    + $"with {Draw("Indian", "French", "Italian", "English")} food, "
    + $"{Draw("where children are welcome", "not for families")}. Its rating is {Draw("low", "average", "5 out of 5")}."))];

var mlContext = new MLContext();
IDataView data = mlContext.Data.LoadFromEnumerable(prompts[..100]);
ExitCalibrationEstimator calibration = mlContext.TextGeneration.CalibrateExit(new ExitCalibrationEstimator.Options
{
    Generation = new TextGenerationEstimator.Options
    {
        OutputColumnName = "Answer", InputColumnName = "Input", ModelPath = DemoModel.GetBundle(),
        GenerationOptions = new TextGenerationOptions { BatchSize = 8 },
    },
    Policies =
    [
        new ExitPolicy { MinimumLayer = 2, Pruning = VocabularyPruning.Decaying() },
        new ExitPolicy { MinimumLayer = 2, Confidence = Confidence.HiddenStateSaturation },
    ],
    Delta = 0.05, Epsilon = 0.05, Loss = CalibrationLoss.TokenF1,
});
string file = SampleFolders.Artifact("calibrated.zip");
using (TextGenerationTransformer calibrated = calibration.Fit(data))
    mlContext.Model.SaveAtomically(calibrated, data.Schema, file);

using var loaded = (TextGenerationTransformer)mlContext.Model.Load(file, out _);
Console.WriteLine(loaded.Certificate);
Console.WriteLine($"{prompts[^1].Input}\n→ {loaded.Model.Generate(prompts[^1].Input, loaded.GenerationOptions).Text}");

// Later prompts say whether the certificate still holds: a test that may be looked at after every prompt, and be continued for ever.
RiskMonitorState drift = mlContext.TextGeneration.EvaluateDrift(loaded, mlContext.Data.LoadFromEnumerable(prompts[100..]));
Console.WriteLine(FormattableString.Invariant(
    $"{drift.Count} later prompts lose {drift.MeanLoss:F3} on average; drift {(drift.HasDrifted ? "is" : "is not")} found (p = {drift.PValue:F2})."));
