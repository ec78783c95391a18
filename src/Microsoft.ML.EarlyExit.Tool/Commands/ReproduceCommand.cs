using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using System.Reflection;
using System.Text;
using System.Text.Json;
using Microsoft.ML.EarlyExit.Evaluation.DataSets;
using Microsoft.ML.EarlyExit.Evaluation.Files;
using Microsoft.ML.EarlyExit.Evaluation.Json;
using Microsoft.ML.EarlyExit.Generation;
using Microsoft.ML.EarlyExit.Reproduction;
using Microsoft.ML.EarlyExit.Tool.Interaction;
using Microsoft.ML.EarlyExit.Tool.Output;

namespace Microsoft.ML.EarlyExit.Tool.Commands;

/// <summary><c>reproduce</c>: the paper's experiments on one's own model and data.</summary>
internal sealed class ReproduceCommand : ToolCommand
{
    private const int DefaultSamples = 100;
    private const int AllSamples = int.MaxValue;
    private const int DefaultLatencyRows = 20;
    private const int MostModels = 2;
    private const string SummarizePrefix = "summarize: ";

    private readonly ToolContext _context;
    private readonly Option<string[]> _models = new("--model")
    {
        Description = "The folder of a model bundle, with a name for the report or without; twice for two models side by side. "
            + "The names pre-trained and fine-tuned say which of the paper's numbers a model is set beside.",
        HelpName = "[NAME=]BUNDLE",
        Required = true,
        Arity = ArgumentArity.OneOrMore,
    };

    private readonly Option<string?> _data =
        PathSymbols.CreateFileOption("--data", "The data set: SQuAD v1.1 or SamSum JSON, E2E CSV, rows (JSON lines), or text and reference between tabs.");
    private readonly Option<string?> _format = new("--format")
    {
        Description = "The data set's form; found out by default.",
        HelpName = "squad|samsum|e2e|rows|tsv",
    };

    private readonly Option<string?> _output = PathSymbols.CreateFileOption(
        "--output", "The folder for the report. A run that was stopped goes on where it was.");

    private readonly Option<int> _samples = new("--samples")
    {
        Description = $"How many examples are drawn from the data, or all; {DefaultSamples} by default.",
        HelpName = "N|all",
        DefaultValueFactory = _ => DefaultSamples,
        CustomParser = result => result.Tokens[0].Value == "all" ? AllSamples : ParseNumber(result, "--samples", 1, int.MaxValue, ", or all"),
    };

    private readonly Option<int> _seed = CreateNumber("--seed", "What the examples are drawn with, and what resampling is seeded with.", 1, 0, int.MaxValue);
    private readonly Option<int[]> _minimumLayers = new("--minimum-layers")
    {
        Description = "The minimum layers of the figures over them, in the model's own layers; by default the paper's, scaled.",
        HelpName = "1,2,…",
        CustomParser = ParseLayers,
    };

    private readonly Option<float> _threshold = new("--threshold")
    {
        Description = "The threshold of all policies.",
        HelpName = "T",
        DefaultValueFactory = _ => 0.9f,
        CustomParser = ParseThreshold,
    };

    private readonly Option<string?> _options =
        PathSymbols.CreateFileOption("--options", $"The generation options, a JSON file. SamSum has the prefix '{SummarizePrefix}' unless the file gives one.");
    private readonly Option<int> _batch = CreateNumber("--batch", "How many rows are decoded side by side; times are always measured with one.", 1, 1, 1024);
    private readonly Option<int> _latencyRows = CreateNumber(
        "--latency-rows", "How many rows of each cell are timed, twice each, beside the same row at full depth.", DefaultLatencyRows, 1, int.MaxValue);

    private readonly Option<bool> _restart = new("--restart") { Description = "Delete an earlier run's files in the folder, and begin again." };

    public ReproduceCommand(ToolContext context)
        : base(
            "reproduce",
            "Repeat the experiments of Optimizing Predictions: Vocabulary Reduction and Contrastive Decoding in LLMs (Abdel Sadek et al., 2024), "
            + "with latencies, on a model and a data set.",
            "--model pre-trained=t5-large.bundle --model fine-tuned=t5-squad.bundle --data dev-v1.1.json --samples 100 --output squad-report")
    {
        _context = context;
        _data.Required = true;
        _output.Required = true;
        _output.HelpName = "FOLDER";
        foreach (Option option in (Option[])
            [_models, _data, _format, _output, _samples, _seed, _minimumLayers, _threshold, _options, _batch, _latencyRows, _restart])
        {
            Add(option);
        }

        _format.CompletionSources.Add([.. ReproductionSample.Formats.Keys]);
        _format.Validators.Add(result =>
        {
            if (result.Tokens.Count == 1 && !ReproductionSample.Formats.ContainsKey(result.Tokens[0].Value))
            {
                result.AddError(
                    $"--format is '{result.Tokens[0].Value}'; it must be one of {string.Join(", ", ReproductionSample.Formats.Keys)}."
                    + $"{Suggestion.For(result.Tokens[0].Value, ReproductionSample.Formats.Keys)}");
            }
        });
        _models.Validators.Add(result =>
        {
            string[] given = [.. result.Tokens.Select(token => token.Value)];
            if (given.Any(string.IsNullOrWhiteSpace))
                result.AddError("--model is empty; it must name a folder.");
            else if (given.Length > MostModels)
                result.AddError($"--model is given {given.Length} times; at most {MostModels} models stand side by side.");
            else if (given.Select(argument => ReproductionModel.Parse(argument).Name).Distinct(StringComparer.OrdinalIgnoreCase).Count() < given.Length)
                result.AddError("Both models have one name; give NAME=BUNDLE.");
        });
        SetAction(Run);
    }

    private static Option<int> CreateNumber(string name, string description, int standard, int least, int most) => new(name)
    {
        Description = description,
        HelpName = "N",
        DefaultValueFactory = _ => standard,
        CustomParser = result => ParseNumber(result, name, least, most),
    };

    private static int ParseNumber(ArgumentResult result, string name, int least, int most, string or = "")
    {
        string given = result.Tokens[0].Value;
        if (int.TryParse(given, NumberStyles.None, CultureInfo.InvariantCulture, out int number) && number >= least && number <= most)
            return number;
        result.AddError($"{name} is '{given}'; it must be a whole number {(most == int.MaxValue ? $"of at least {least}" : $"from {least} to {most}")}{or}.");
        return least;
    }

    private static int[] ParseLayers(ArgumentResult result)
    {
        string given = result.Tokens[0].Value;
        string[] parts = given.Split(',', StringSplitOptions.TrimEntries);
        int[] layers = [.. parts.Select(part => int.TryParse(part, NumberStyles.None, CultureInfo.InvariantCulture, out int layer) ? layer : 0)];
        if (layers.All(layer => layer >= 1))
            return layers;
        result.AddError($"--minimum-layers is '{given}'; it must be layers, whole numbers of at least 1, between commas.");
        return [];
    }

    private static float ParseThreshold(ArgumentResult result)
    {
        string given = result.Tokens[0].Value;
        if (float.TryParse(given, NumberStyles.Float, CultureInfo.InvariantCulture, out float threshold) && threshold is >= 0 and <= 1)
            return threshold;
        result.AddError($"--threshold is '{given}'; it must be a number from 0 to 1.");
        return 0;
    }

    /// <summary>An option that is not given is an empty array, not null.</summary>
    private int[]? GetMinimumLayers(ParseResult parsed) => parsed.GetValue(_minimumLayers) is { Length: > 0 } layers ? layers : null;

    private int Run(ParseResult parsed)
    {
        ReproductionModel[] models = [.. parsed.GetRequiredValue(_models).Select(ReproductionModel.Parse)];
        int samples = parsed.GetValue(_samples);
        int latencyRows = parsed.GetValue(_latencyRows);
        float threshold = parsed.GetValue(_threshold);
        int[]? minimumLayers = GetMinimumLayers(parsed);

        // Whatever can fail quickly does so before anything is generated.
        ReproductionSample sample = ReproductionSample.Draw(
            parsed.GetRequiredValue(_data)!, parsed.GetValue(_format) is { } format ? ReproductionSample.Formats[format] : null,
            samples, parsed.GetValue(_seed));
        TextGenerationOptions options = ReadOptions(parsed.GetValue(_options), sample.Format) with { BatchSize = parsed.GetValue(_batch) };
        var loaded = new List<EarlyExitModel>();
        try
        {
            foreach (ReproductionModel model in models)
            {
                _context.Cancellation.ThrowIfCancellationRequested();
                loaded.Add(EarlyExitModel.Load(model.Path));
                Check(loaded[^1], model, options, minimumLayers);
            }

            int measured = Math.Min(latencyRows, sample.Examples.Count);
            ReproductionPlan[] plans =
            [
                .. loaded.Zip(models, (model, named) =>
                    new ReproductionPlan(named.Name, model.Configuration, minimumLayers, threshold, sample.Examples.Count, measured)),
            ];
            var settings = new ReproductionSettings
            {
                Version = Version(),
                Machine = Machine.Current,
                Data = sample.Settings,
                Options = JsonElement.Parse(TextGenerationOptionsJson.Write(options)),
                Threshold = threshold,
                MinimumLayers = minimumLayers,
                Batch = options.BatchSize,
                LatencyRows = latencyRows,
                BootstrapReplicates = Bootstrap.Replicates,
                Models = [.. plans.Select((plan, index) => Describe(plan, models[index], loaded[index], options))],
            };

            using ReproductionFolder folder = ReproductionFolder.Open(parsed.GetRequiredValue(_output)!);
            folder.CheckRoom(plans.Sum(plan => plan.Cells.Count), sample.Examples.Count);
            string fingerprint = folder.Begin(settings, parsed.GetValue(_restart));
            if (samples > sample.Settings.Examples && samples != AllSamples)
                _context.Messages.Say($"The data set has {sample.Settings.Examples} examples; all are taken.");
            new ReproductionRun(
                _context.Messages, folder, settings, sample, options, plans, CommandLine(parsed, models, sample, folder), _context.Cancellation)
                .Run(loaded, fingerprint);
        }
        finally
        {
            foreach (EarlyExitModel model in loaded)
                model.Dispose();
        }

        _context.Messages.Say($"The report is {Path.Combine(parsed.GetRequiredValue(_output)!, "README.md")}.");
        return ExitCode.Done;
    }

    private static TextGenerationOptions ReadOptions(string? path, DataSetFormat format)
    {
        bool hasPrefix = false;
        var options = new TextGenerationOptions();
        if (path is not null)
        {
            using FileStream stream = InputFile.Open(path);
            options = JsonFields.Parse(stream, path, fields =>
            {
                hasPrefix = fields.Has("prefix");
                // Operations are counted in any case.
                _ = fields.Has("operations") && fields.GetBoolean("operations");
                return TextGenerationOptionsJson.Read(fields);
            });
        }

        return hasPrefix || format != DataSetFormat.SamSum ? options : options with { Prefix = SummarizePrefix };
    }

    private static void Check(EarlyExitModel model, ReproductionModel named, TextGenerationOptions options, int[]? minimumLayers)
    {
        int depth = model.Configuration.DecoderLayerCount;
        if (model.Tokenizer is null)
        {
            throw new InvalidDataException(
                $"The model bundle '{named.Path}' has no tokenizer, and texts are needed. Convert the checkpoint again with its spiece.model.");
        }

        if (depth < 2)
            throw new InvalidDataException($"The model bundle '{named.Path}' has {depth} decoder layer; no token can exit early.");
        if (minimumLayers?.Max() >= depth)
        {
            throw new InvalidDataException(
                $"--minimum-layers has {minimumLayers.Max()}, but the model '{named.Name}' has {depth} decoder layers; give lower ones.");
        }

        model.CheckOptions(options);
    }

    private static ModelSettings Describe(ReproductionPlan plan, ReproductionModel named, EarlyExitModel model, TextGenerationOptions options)
    {
        foreach (PlannedCell cell in plan.Cells)
            cell.Policy?.Validate(model.Configuration);
        return new ModelSettings(
            named.Name, named.Folder, model.Bundle.Identity, plan.Depth, model.MaxNewTokens(options),
            [.. plan.Cells.Select(cell => new CellSettings(cell.Name, CellRunner.ToJson(cell.Policy)))]);
    }

    /// <summary>The version without the commit: it is the numbers' meaning that it stands for.</summary>
    private static string Version() =>
        typeof(EarlyExitModel).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion.Split('+')[0] ?? "unknown";

    /// <summary>The command with every setting, and with names of files and folders only.</summary>
    private string CommandLine(ParseResult parsed, ReproductionModel[] models, ReproductionSample sample, ReproductionFolder folder)
    {
        var line = new StringBuilder($"{ToolContext.ToolName} {Name}");
        foreach (ReproductionModel model in models)
            Append("--model", $"{model.Name}={model.Folder}");
        Append("--data", sample.Settings.File);
        Append("--format", sample.Settings.Format);
        Append("--samples", parsed.GetValue(_samples) is var samples && samples == AllSamples ? "all" : samples.ToString(CultureInfo.InvariantCulture));
        Append("--seed", parsed.GetValue(_seed).ToString(CultureInfo.InvariantCulture));
        if (GetMinimumLayers(parsed) is { } layers)
            Append("--minimum-layers", string.Join(',', layers));
        Append("--threshold", parsed.GetValue(_threshold).ToString(CultureInfo.InvariantCulture));
        if (parsed.GetValue(_options) is { } options)
            Append("--options", Path.GetFileName(options));
        Append("--batch", parsed.GetValue(_batch).ToString(CultureInfo.InvariantCulture));
        Append("--latency-rows", parsed.GetValue(_latencyRows).ToString(CultureInfo.InvariantCulture));
        Append("--output", folder.Name);
        return line.ToString();

        void Append(string option, string value) =>
            line.Append(' ').Append(option).Append(' ').Append(value.Contains(' ', StringComparison.Ordinal) ? $"\"{value}\"" : value);
    }
}
