// One process saves a pipeline, another one loads it and generates the same: "save ZIP", "load ZIP", or nothing for both in turn.
using System.Diagnostics;
using Microsoft.ML;
using Microsoft.ML.EarlyExit;
using Samples;

Prompt[] prompts =
[
    new("describe: name[Blue Spice], eatType[coffee shop], area[city centre]"),
    new("describe: name[Aromi], eatType[pub], food[Indian], near[Crowne Plaza Hotel]"),
    new("question: What is it near? context: A coffee shop in the riverside area, near Burger King, serving English food is The Eagle."),
];
switch (args)
{
    case ["save", string zip]:
        Save(zip);
        return 0;
    case ["load", string zip]:
        Load(zip);
        return 0;
    case []:
        string saved = Start("save", SampleFolders.Artifact("save-and-load.zip"));
        string loaded = Start("load", SampleFolders.Artifact("save-and-load.zip"));
        Console.Write($"Saved by one process:\n{saved}Loaded by another:\n{loaded}");
        Console.WriteLine(saved == loaded ? "The same texts." : "OTHER TEXTS.");
        return saved == loaded ? 0 : 1;
    default:
        Console.Error.WriteLine("usage: SaveAndLoad [save ZIP | load ZIP]");
        return 2;
}

void Save(string zip)
{
    var mlContext = new MLContext();
    IDataView data = mlContext.Data.LoadFromEnumerable(prompts);
    var options = new TextGenerationOptions { BatchSize = 4, Exit = new ExitPolicy { MinimumLayer = 4, Threshold = 0.9f } };
    using TextGenerationTransformer model = mlContext.Transforms.Text.GenerateText("Text", "Input", DemoModel.GetBundle(), options).Fit(data);
    mlContext.Model.SaveAtomically(model, data.Schema, zip);
    Write(mlContext, model);
}

// The zip says it all: the model, its tokenizer, the columns and the exit policy.
void Load(string zip)
{
    var mlContext = new MLContext();
    ITransformer model = mlContext.Model.Load(zip, out _);
    Write(mlContext, model);
    (model as IDisposable)?.Dispose();
}

void Write(MLContext mlContext, ITransformer model)
{
    IDataView data = model.Transform(mlContext.Data.LoadFromEnumerable(prompts));
    foreach (Generated row in mlContext.Data.CreateEnumerable<Generated>(data, reuseRowObject: true))
        Console.WriteLine($"  {row.Text}");
}

// This program in a process of its own; returns what it writes.
static string Start(params string[] arguments)
{
    string program = Environment.ProcessPath!;
    bool isHost = Path.GetFileNameWithoutExtension(program) == "dotnet";
    string[] all = isHost ? [Path.Combine(AppContext.BaseDirectory, "SaveAndLoad.dll"), .. arguments] : arguments;
    using Process process = Process.Start(new ProcessStartInfo(program, all) { RedirectStandardOutput = true })!;
    string output = process.StandardOutput.ReadToEnd();
    process.WaitForExit();
    return process.ExitCode == 0 ? output : throw new InvalidOperationException($"'{arguments[0]}' ended with exit code {process.ExitCode}.");
}

/// <summary>A row as the pipeline returns it.</summary>
internal sealed class Generated
{
    public string Text { get; set; } = "";
}
