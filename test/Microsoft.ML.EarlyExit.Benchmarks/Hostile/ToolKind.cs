using Microsoft.ML.EarlyExit.Reproduction.Output;
using Microsoft.ML.EarlyExit.Tool;
using Microsoft.ML.EarlyExit.Tool.Interaction;
using Microsoft.ML.EarlyExit.Tool.Output;

namespace Microsoft.ML.EarlyExit.Benchmarks;

/// <summary>Files for commands of the tool, which run on a sound model.</summary>
internal sealed class ToolKind(HostileSeeds seeds) : HostileKind("tool", 8)
{
    private const string BundleFolder = "BUNDLE";
    private const string FiguresFolder = "FIGURES";
    private const string FiguresAgain = $"figures {FiguresFolder}";

    /// <summary>Command lines; an argument that is the name of a text is that file.</summary>
    private static readonly string[] s_commands =
    [
        "generate BUNDLE --input rows.jsonl --options options.json --policy policy.json --batch 2",
        "generate BUNDLE --input rows.jsonl --policy certificate.json",
        "generate BUNDLE --input rows.jsonl --policy pipeline.zip",
        "generate BUNDLE --input ids.jsonl --options options.json --policy policy-contrastive.json --trace",
        "generate BUNDLE --input rows.jsonl --options options.json --policy policy-classifier.json --output out",
        "score BUNDLE --input targets.jsonl --policy policy.json --options options.json",
        "score BUNDLE --input ids.jsonl",
        "evaluate rouge --input generated.jsonl --rows out --stemmer",
        "evaluate rouge --input generated.jsonl --rouge-tokenizer unicode --split-sentences",
        "evaluate squad --input generated.jsonl",
        "evaluate bleu --input generated.jsonl --bootstrap 10",
        "evaluate bleu --input generated.jsonl --tokenize zh --lowercase",
        "evaluate chrf --input generated.jsonl --word-order 2",
        "evaluate exits --input generated.jsonl",
        "calibrate BUNDLE --input rows.jsonl --policy policy.json --grid grid.json --options options.json "
            + "--delta 0.5 --epsilon 0.5 --loss rougeLRisk --output out",
        "figures --certificate certificate.json --output out",
        "figures --scores scores.jsonl --output out",
        FiguresAgain,
    ];

    public override string Write(HostileRandom random, string folder)
    {
        string command = random.Pick(s_commands);
        File.WriteAllText(Path.Combine(folder, "command"), command);
        if (command == FiguresAgain)
            return WriteFigure(random, Directory.CreateDirectory(Path.Combine(folder, FiguresFolder)).FullName);
        string[] names = [.. command.Split(' ').Where(seeds.Texts.ContainsKey)];
        string changed = random.Pick(names);
        foreach (string name in names)
            File.WriteAllBytes(Path.Combine(folder, name), name == changed ? Mutate(name, seeds.Texts[name], random) : seeds.Texts[name]);
        return $"{changed} of {command.Split(' ')[0]}";
    }

    public override string? Receive(HostileRandom random, string folder)
    {
        string[] arguments = [.. File.ReadAllText(Path.Combine(folder, "command")).Split(' ').Select(argument =>
            argument == BundleFolder ? seeds.BundleFolder
                : argument is "out" or FiguresFolder || seeds.Texts.ContainsKey(argument) ? Path.Combine(folder, argument)
                : argument)];
        var output = new StringWriter();
        (int code, string messages) = Run(arguments, output);
        if (messages.Contains("(Unexpected ", StringComparison.Ordinal))
            throw new BrokenResultException(Run([.. arguments, "--verbose"], TextWriter.Null).Messages);
        BrokenResultException.Unless(code is ExitCode.Done or ExitCode.Failed, $"exit code {code}");
        BrokenResultException.Unless(code == ExitCode.Done || messages.Trim().Length > 0, "a failure without a message");
        if (code == ExitCode.Failed)
            throw new RefusalException(new InvalidDataException(messages.Trim()));
        int error = output.ToString().IndexOf("\"error\":\"", StringComparison.Ordinal);
        return error < 0 ? null : output.ToString()[error..];
    }

    private static byte[] Mutate(string name, byte[] bytes, HostileRandom random) =>
        Path.GetExtension(name) == ".zip" ? PipelineKind.Mutate(bytes, random).Zip : TextMutator.Mutate(name, bytes, random);

    /// <summary>One figure's files, one of them changed.</summary>
    private string WriteFigure(HostileRandom random, string folder)
    {
        string changed = random.Pick([.. seeds.Figures.Keys.Order(StringComparer.Ordinal)]);
        foreach ((string name, byte[] bytes) in seeds.Figures.Where(file => file.Key.Split('.')[0] == changed.Split('.')[0]))
            File.WriteAllBytes(Path.Combine(folder, name), name == changed ? TextMutator.Mutate(name, bytes, random) : bytes);
        return $"{changed} of figures";
    }

    private static (int Code, string Messages) Run(string[] arguments, TextWriter output)
    {
        var messages = new StringWriter();
        int code = EarlyExitTool.Run(arguments, new ToolContext(output, new MessageWriter(messages, isTerminal: false), CancellationToken.None));
        return (code, messages.ToString());
    }
}
