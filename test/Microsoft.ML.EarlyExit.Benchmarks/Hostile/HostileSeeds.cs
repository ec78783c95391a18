using System.Globalization;
using Microsoft.ML.EarlyExit.Calibration;
using Microsoft.ML.EarlyExit.Conversion;
using Microsoft.ML.EarlyExit.Exit;
using Microsoft.ML.EarlyExit.Generation;
using Microsoft.ML.EarlyExit.Reproduction.Output;
using Microsoft.ML.EarlyExit.Tool;
using Microsoft.ML.EarlyExit.Tool.Interaction;
using Microsoft.ML.EarlyExit.Tool.Output;
using Microsoft.ML.EarlyExit.Tool.Tests;

namespace Microsoft.ML.EarlyExit.Benchmarks;

/// <summary>The sound inputs that hostile ones are made of.</summary>
internal sealed class HostileSeeds
{
    private const string Policy =
        """{"minimumLayer": 1, "confidence": "softmaxMargin", "threshold": 0.4, "thresholdTemperature": 0, "statePropagation": "stateCopy"}""";
    private const string Contrastive = """
        {"minimumLayer": 1, "threshold": 0.3, "confidence": "jsdContrastive", "contrastive": {"alpha": 0.1}, "pruning": {"kind": "adaptive", "scale": 0.9, "kMin": 20}}
        """;

    private readonly string _folder;

    public HostileSeeds(string folder)
    {
        _folder = folder;
        Checkpoints = [.. Directory.GetDirectories(Path.Combine(folder, "checkpoints")).Order(StringComparer.Ordinal).Select(ReadFiles)];
        Bundle = ReadFiles(BundleFolder);
        Pipelines = [.. Directory.GetFiles(Path.Combine(folder, "pipelines")).Order(StringComparer.Ordinal).Select(File.ReadAllBytes)];
        Texts = ReadFiles(Path.Combine(folder, "texts"));
        Figures = ReadFiles(Path.Combine(folder, "figures"));
    }

    public IReadOnlyList<IReadOnlyDictionary<string, byte[]>> Checkpoints { get; }

    public IReadOnlyDictionary<string, byte[]> Bundle { get; }

    /// <summary>A sound bundle, to give hostile rows to.</summary>
    public string BundleFolder => Path.Combine(_folder, "bundle");

    public IReadOnlyList<byte[]> Pipelines { get; }

    /// <summary>Policies, options, certificates, rows and data sets by file name.</summary>
    public IReadOnlyDictionary<string, byte[]> Texts { get; }

    /// <summary>What figures are drawn again from.</summary>
    public IReadOnlyDictionary<string, byte[]> Figures { get; }

    /// <summary>Writes the sound inputs into a new folder.</summary>
    public static void Make(string folder)
    {
        string checkpoints = Path.Combine(folder, "checkpoints");
        string tiny = Path.Combine(checkpoints, "tiny");
        TinyTextCheckpoint.Write(tiny, seed: 1);
        File.WriteAllText(
            Path.Combine(tiny, "generation_config.json"), """{"decoder_start_token_id": 0, "eos_token_id": 1, "pad_token_id": 0, "max_new_tokens": 8}""");
        foreach (string name in (string[])["tiny-buckets", "tiny-sharded"])
        {
            string copy = Directory.CreateDirectory(Path.Combine(checkpoints, name)).FullName;
            foreach (string file in Directory.GetFiles(Repository.Fixture($"models/hf-tiny/{name}")))
                File.Copy(file, Path.Combine(copy, Path.GetFileName(file)));
        }

        // Tokens of a user, in both of the forms that transformers writes; the vocabulary's own sentinels are ids 256-355.
        string added = Directory.CreateDirectory(Path.Combine(checkpoints, "tiny-added")).FullName;
        foreach (string file in Directory.GetFiles(tiny))
            File.Copy(file, Path.Combine(added, Path.GetFileName(file)));
        File.WriteAllText(Path.Combine(added, "added_tokens.json"), """{"<ctrl>": 355, "new word": 354}""");
        File.WriteAllText(
            Path.Combine(added, "special_tokens_map.json"),
            """{"eos_token": "</s>", "pad_token": {"content": "<pad>", "lstrip": false}, "additional_special_tokens": ["<ctrl>"]}""");
        File.WriteAllText(Path.Combine(tiny, "tokenizer_config.json"), """
            {"extra_ids": 97, "eos_token": "</s>", "legacy": true, "tokenizer_class": "T5Tokenizer", "added_tokens_decoder": {
              "0": {"content": "<pad>", "special": true}, "353": {"content": "<sep>", "special": true, "lstrip": true, "rstrip": true},
              "354": {"content": "pub", "single_word": true, "normalized": false}, "355": {"content": "é à", "special": false, "rstrip": true}}}
            """);
        File.WriteAllText(Path.Combine(added, "tokenizer_config.json"), """{"extra_ids": 98, "legacy": true}""");
        string bundle = Path.Combine(folder, "bundle");
        T5Converter.Convert(tiny, bundle);
        MakeTexts(Directory.CreateDirectory(Path.Combine(folder, "texts")).FullName, bundle);
        string pipelines = Directory.CreateDirectory(Path.Combine(folder, "pipelines")).FullName;
        MakePipelines(pipelines, bundle);
        File.Copy(Path.Combine(pipelines, "generation.zip"), Path.Combine(folder, "texts", "pipeline.zip"));
    }

    private static void MakeTexts(string folder, string bundle)
    {
        Write("policy.json", Policy);
        Write("policy-contrastive.json", Contrastive);
        Write("policy-thresholds.json", """{"minimumLayer": 1, "thresholds": [0.2, 0.5, 0.9, 1], "statePropagation": "parallelDecoding"}""");
        Write("policy-speculation.json", """{"staticExitLayer": 2, "selfSpeculation": {"draftTokens": 3}}""");
        Write("policy-shallow-deep.json", """{"threshold": 0.5, "shallowDeep": {"exitLayer": 2, "adaptiveThreshold": true}}""");
        var classifier = new ExitPolicy
        {
            Confidence = Confidence.Classifier(
                [.. Enumerable.Range(0, TinyTextCheckpoint.DecoderLayers - 1).Select(layer => new float[] { 1, 2, 3, -4, 5, 6, 7, layer })], [0, 1, 2]),
        };
        Write("policy-classifier.json", ExitPolicyJson.Write(classifier));
        Write("options.json", TextGenerationOptionsJson.Write(
            new TextGenerationOptions { Prefix = "describe: ", MaxNewTokens = 5, MinNewTokens = 1, NoRepeatNgramSize = 2, RepetitionPenalty = 1.1f }));
        Write("grid.json", "[0.9, 0.5, 0.2]");
        Write("rows.jsonl", Lines("""
            {"id": "NUMBER", "text": "name[The WatermanNUMBER], area[riverside]", "references": ["the pub NUMBER", "a river"], "other": {"a": [1, null]}}
            """));
        Write("ids.jsonl", Lines("""{"id": NUMBER, "inputIds": [7, 21, NUMBER, 1], "target": "pub NUMBER", "reference": "pub"}"""));
        Write("targets.jsonl", Lines("""{"id": "NUMBER", "text": "name[NUMBER]", "targetIds": [9, NUMBER, 1]}"""));
        Write("generated.jsonl", Lines("""
            {"id": "NUMBER", "text": "the pub NUMBER is old", "references": ["an old pub NUMBER"], "exitLayers": [1, 4, 2], "stopReason": "maxNewTokens"}
            """));
        Write("squad.json", """
            {"data": [{"title": "Rivers", "paragraphs": [{"context": "The Elbe is long.\nIt ends in the sea.", "qas": [
              {"id": "a", "question": "What is long?", "answers": [{"answer_start": 4, "text": "Elbe"}, {"answer_start": 0, "text": "The Elbe"}]},
              {"id": "b", "question": "Where does it end?", "answers": [{"answer_start": 30, "text": "the sea"}]}]}]}], "version": "1.1"}
            """);
        Write(
            "samsum.json",
            """[{"id": "1", "summary": "A meets B.", "dialogue": "A: Hi\r\nB: Hello"}, {"id": "2", "summary": "Nobody comes.", "dialogue": "C: Anybody?"}]""");
        Write(
            "e2e.csv",
            "mr,ref\n\"name[The Mill], food[French]\",\"The Mill, as \"\"they\"\" say, is French.\"\n\"name[The Mill], food[French]\",French food\n"
            + "name[Alimentum],Alimentum\n");
        Write("two.tsv", "a text\tits reference\nanother\twith its own\n");

        using (var checkpoint = new CalibrationCheckpoint(Path.Combine(folder, "calibration.partial"), JsonKind.CheckpointIdentity))
        {
            checkpoint.AddTexts("full", ["a pub", "é \n"]);
            checkpoint.Add("1", new CandidateResult([0, 0.5], 2.5, new MeanOperationCounts(1, 2, 3, 4, 5)));
        }

        RunTool(
            "calibrate", bundle, "--input", Path.Combine(folder, "rows.jsonl"), "--policy", Path.Combine(folder, "policy.json"),
            "--grid", Path.Combine(folder, "grid.json"),
            "--options", Path.Combine(folder, "options.json"), "--delta", "0.5", "--epsilon", "0.5", "--loss", "tokenF1",
            "--output", Path.Combine(folder, "certificate.json"));
        RunTool(
            "score", bundle, "--input", Path.Combine(folder, "targets.jsonl"), "--policy", Path.Combine(folder, "policy.json"),
            "--output", Path.Combine(folder, "scores.jsonl"));
        string figures = Path.Combine(folder, "..", "figures");
        RunTool("figures", "--scores", Path.Combine(folder, "scores.jsonl"), "--output", figures);
        RunTool("figures", "--certificate", Path.Combine(folder, "certificate.json"), "--output", figures);
        foreach (string drawing in Directory.GetFiles(figures).Where(path => Path.GetExtension(path) is ".png" or ".svg"))
            File.Delete(drawing);

        void Write(string name, string text) => File.WriteAllText(Path.Combine(folder, name), text);

        static string Lines(string line) => string.Concat(
            Enumerable.Range(2, 4).Select(number => line.Replace("NUMBER", number.ToString(CultureInfo.InvariantCulture), StringComparison.Ordinal) + "\n"));
    }

    private static void MakePipelines(string folder, string bundle)
    {
        var context = new MLContext(seed: 1);
        IDataView data = context.Data.LoadFromEnumerable(PipelineRow.Sound);
        var options = new TextGenerationOptions { MaxNewTokens = 4, BatchSize = 2, Exit = ExitPolicyJson.Parse(Contrastive, "policy") };
        Save("generation", context.Transforms.Text.GenerateText("Generated", nameof(PipelineRow.Text), bundle, options).Fit(data));
        Save("scoring", context.Transforms.Text.ScoreLayers("Layers", nameof(PipelineRow.Text), nameof(PipelineRow.Target), bundle).Fit(data));
        Save("both", context.Transforms.CopyColumns("Copy", nameof(PipelineRow.Text))
            .Append(context.Transforms.Text.GenerateText("Generated", "Copy", bundle, options with { Exit = new ExitPolicy { StaticExitLayer = 2 } }))
            .Append(context.Transforms.Text.ScoreLayers("Layers", "Copy", nameof(PipelineRow.Target), bundle))
            .Fit(data));

        void Save(string name, ITransformer model)
        {
            context.Model.Save(model, data.Schema, Path.Combine(folder, name + ".zip"));
            ((IDisposable)model).Dispose();
        }
    }

    private static void RunTool(params string[] arguments)
    {
        var messages = new StringWriter();
        int code = EarlyExitTool.Run(arguments, new ToolContext(TextWriter.Null, new MessageWriter(messages, isTerminal: false), CancellationToken.None));
        if (code != ExitCode.Done)
            throw new InvalidOperationException($"'early-exit {string.Join(' ', arguments)}' ended with {code}: {messages}");
    }

    private static Dictionary<string, byte[]> ReadFiles(string folder) =>
        Directory.GetFiles(folder).Order(StringComparer.Ordinal).ToDictionary(path => Path.GetFileName(path), File.ReadAllBytes, StringComparer.Ordinal);
}
