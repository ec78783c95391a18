using Microsoft.ML.EarlyExit.Tool;

namespace Microsoft.ML.EarlyExit.Benchmarks;

/// <summary>Files for commands of the tool, which run on a sound model.</summary>
internal sealed class ToolKind(HostileSeeds seeds) : HostileKind("tool", 8)
{
    private const string BundleFolder = "BUNDLE";

    /// <summary>Command lines; an argument that is the name of a text is that file.</summary>
    private static readonly string[] s_commands =
    [
        "generate BUNDLE --input rows.jsonl --options options.json --policy policy.json --batch 2",
        "generate BUNDLE --input ids.jsonl --options options.json --policy policy-contrastive.json --trace",
        "generate BUNDLE --input rows.jsonl --options options.json --policy policy-classifier.json --output out",
        "score BUNDLE --input targets.jsonl --policy policy.json --options options.json",
        "score BUNDLE --input ids.jsonl",
        "evaluate rouge --input generated.jsonl --rows out --stemmer",
        "evaluate squad --input generated.jsonl",
        "evaluate bleu --input generated.jsonl --bootstrap 10",
        "evaluate chrf --input generated.jsonl",
        "evaluate exits --input generated.jsonl",
        "calibrate BUNDLE --input rows.jsonl --policy policy.json --grid grid.json --options options.json --delta 0.5 --epsilon 0.5 --loss rougeLRisk --output out",
        "figures --certificate certificate.json --output out",
        "figures --scores scores.jsonl --output out",
    ];

    public override string Write(HostileRandom random, string folder)
    {
        string command = random.Pick(s_commands);
        string[] names = [.. command.Split(' ').Where(seeds.Texts.ContainsKey)];
        string changed = random.Pick(names);
        foreach (string name in names)
            File.WriteAllBytes(Path.Combine(folder, name), name == changed ? HostileText.Mutate(name, seeds.Texts[name], random) : seeds.Texts[name]);
        File.WriteAllText(Path.Combine(folder, "command"), command);
        return $"{changed} of {command.Split(' ')[0]}";
    }

    public override string? Receive(HostileRandom random, string folder)
    {
        string[] arguments = [.. File.ReadAllText(Path.Combine(folder, "command")).Split(' ').Select(argument =>
            argument == BundleFolder ? seeds.BundleFolder : argument == "out" || seeds.Texts.ContainsKey(argument) ? Path.Combine(folder, argument) : argument)];
        var output = new StringWriter();
        (int code, string messages) = Run(arguments, output);
        if (messages.Contains("(Unexpected ", StringComparison.Ordinal))
            throw new BrokenResultException(Run([.. arguments, "--verbose"], TextWriter.Null).Messages);
        Require(code is ExitCode.Done or ExitCode.Failed, $"exit code {code}");
        Require(code == ExitCode.Done || messages.Trim().Length > 0, "a failure without a message");
        if (code == ExitCode.Failed)
            throw new RefusalException(new InvalidDataException(messages.Trim()));
        int error = output.ToString().IndexOf("\"error\":\"", StringComparison.Ordinal);
        return error < 0 ? null : output.ToString()[error..];
    }

    private static (int Code, string Messages) Run(string[] arguments, TextWriter output)
    {
        var messages = new StringWriter();
        int code = EarlyExitTool.Run(arguments, new ToolContext(output, new MessageWriter(messages, isTerminal: false), CancellationToken.None));
        return (code, messages.ToString());
    }
}
