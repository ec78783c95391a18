// A learned measure of confidence: a linear probe that tells, from the hidden state after a decoder layer, whether the last layer would choose the same token.
using Microsoft.ML;
using Microsoft.ML.EarlyExit;
using Samples;

// Places that are trained on, and others to try the classifier with.
Prompt[] known = [.. Prompts("Blue Spice", "Alimentum", "Aromi", "Cocum")];
Prompt[] unseen = [.. Prompts("The Wrestlers", "Zizzi")];
using EarlyExitModel model = EarlyExitModel.Load(DemoModel.GetBundle());
var options = new TextGenerationOptions { Prefix = "describe: ", BatchSize = 16 };

// 1. Without a target column the targets are what the model itself generates at full depth: nobody has to label anything.
var mlContext = new MLContext(seed: 1);
ExitClassifier classifier = mlContext.TextGeneration.TrainExitClassifier(mlContext.Data.LoadFromEnumerable(known), new ExitClassifierOptions
{
    Model = model, InputColumnName = nameof(Prompt.Input), GenerationOptions = options,
    MinimumLayer = 6, MaxTokensPerRow = 12, HeldOutFraction = 0.2,
});

// 2. How it does on rows that were held out: the share of tokens the layer chooses as the last one does, and the share the classifier is right about.
Console.WriteLine("layer  agrees  accuracy  area under ROC");
foreach (ExitClassifierLayer layer in classifier.Layers)
{
    Console.WriteLine(FormattableString.Invariant(
        $"{layer.Layer,5}  {layer.HeldOutAgreement,6:F2}  {layer.HeldOutAccuracy,8:F2}  {layer.HeldOutAreaUnderRocCurve,14:F2}"));
}

// 3. In a policy it stands where the softmax margin would, and needs no LM head to be asked.
var policy = new ExitPolicy { MinimumLayer = classifier.MinimumLayer, Threshold = 0.9f, Confidence = classifier.Confidence };
GenerationInput[] inputs = [.. unseen.Select(prompt => GenerationInput.FromText(prompt.Input))];
IReadOnlyList<GenerationResult> fullDepth = model.Generate(inputs, options);
IReadOnlyList<GenerationResult> early = model.Generate(inputs, options with { Exit = policy });
int equal = early.Zip(fullDepth).Count(pair => pair.First.Text == pair.Second.Text);
Console.WriteLine();
Console.WriteLine(unseen[0].Input);
Console.WriteLine($"  early exit  {early[0].Text}");
Console.WriteLine($"  full depth  {fullDepth[0].Text}");
double meanExit = early.SelectMany(result => result.ExitLayers).Average();
Console.WriteLine(FormattableString.Invariant(
    $"Mean exit {meanExit:F2} of {model.Configuration.DecoderLayerCount} layers; {equal} of {unseen.Length} outputs equal full depth's."));

// Where all held-out tokens of a layer agree, its figures say nothing, and this says how many rows would.
foreach (string problem in classifier.Layers.Select(layer => layer.HeldOutProblem).OfType<string>())
    Console.WriteLine(problem);

// 4. As a policy file, for the early-exit tool.
string file = SampleFolders.Artifact("exit-classifier.json");
classifier.Save(file);
Console.WriteLine($"Saved for early-exit generate --policy: {file}");

static IEnumerable<Prompt> Prompts(params string[] names) =>
    from name in names
    from eatType in (string[])["coffee shop", "pub", "restaurant"]
    from food in (string[])["English", "Indian", "Italian"]
    from area in (string[])["city centre", "riverside"]
    select new Prompt($"name[{name}], eatType[{eatType}], food[{food}], area[{area}]");
