using System.CommandLine;
using System.CommandLine.Parsing;
using System.Text;
using System.Text.Json;
using Microsoft.ML.EarlyExit.Calibration;
using Microsoft.ML.EarlyExit.Evaluation.Json;
using Microsoft.ML.EarlyExit.Files;
using Microsoft.ML.EarlyExit.Generation;
using Microsoft.ML.EarlyExit.Reproduction.Output;
using Microsoft.ML.EarlyExit.Tool.Interaction;
using Microsoft.ML.EarlyExit.Tool.Output;
using Microsoft.ML.EarlyExit.Tool.Rows;

namespace Microsoft.ML.EarlyExit.Tool.Commands;

/// <summary><c>calibrate</c>: thresholds with a guarantee.</summary>
internal sealed class CalibrateCommand : ToolCommand
{
    private readonly ToolContext _context;
    private readonly Argument<string> _bundle = PathSymbols.CreateArgument("BUNDLE", "The folder of the model bundle.");
    private readonly Option<string?> _input = PathSymbols.CreateFileOption(
        "--input",
        """Calibration prompts, one JSON object per line: {"text" or "inputIds"}, for risk losses with "reference", "references" or "answers"; """
        + "- for standard input.");

    private readonly Option<double> _delta = CreateShare("--delta", "The tolerance δ of the expected loss, above 0 and below 1.", "D");
    private readonly Option<double> _epsilon = CreateShare("--epsilon", "The probability ε with which the guarantee may fail, above 0 and below 1.", "E");
    private readonly Option<CalibrationLoss> _loss = new("--loss")
    {
        Description = $"What a wrong exit costs: {string.Join(", ", CalibrationLoss.All.Select(loss => loss.Name))}.",
        HelpName = "NAME",
        Required = true,
        CustomParser = result => Choice.Parse(result, "--loss", [.. CalibrationLoss.All.Select(loss => (loss.Name, loss))])!,
    };

    private readonly Option<string[]> _policies = PathSymbols.CreateFilesOption(
        "--policy", "A policy whose threshold is calibrated, a JSON file; give it again for more to choose from.");

    private readonly Option<string?> _grid = PathSymbols.CreateFileOption(
        "--grid", "The thresholds to choose from, a JSON array, strictly decreasing, within [0, 1]; by default 1.00, 0.98, … 0.50, 0.45, … 0.05.");

    private readonly Option<RiskTest> _test = Choice.CreateOption("--test", "The test", CalibrationCertificateJson.Tests);
    private readonly Option<RiskProcedure> _procedure = Choice.CreateOption(
        "--procedure", "How candidates are tested together", CalibrationCertificateJson.Procedures);

    private readonly Option<RougeTokenizer> _rougeTokenizer = Choice.CreateOption(
        "--rouge-tokenizer", "What words are to the losses rougeL and rougeLRisk", CalibrationCertificateJson.Tokenizers);

    private readonly Option<bool> _splitSentences = new("--split-sentences") { Description = "As for evaluate rouge: changes ROUGE-Lsum, which no loss uses." };
    private readonly Option<string?> _options = PathSymbols.CreateFileOption("--options", "The generation options, a JSON file.");
    private readonly Option<int> _batch = BatchOption.Create();
    private readonly Option<int> _seed = new("--seed") { Description = "The seed of the split that fixedSequenceByCost makes; 0 by default.", HelpName = "S" };
    private readonly Option<string?> _output = PathSymbols.CreateFileOption(
        "--output", "Where the certificate goes; - for standard output. FILE.partial keeps finished runs: the same command goes on from them.");

    private readonly LoadOptions _load = new();

    public CalibrateCommand(ToolContext context)
        : base(
            "calibrate", "Find the fastest threshold that data certify, and write its certificate.",
            "t5-samsum.bundle --input prompts.jsonl --delta 0.05 --epsilon 0.05 --loss rougeL --policy policy.json --output certificate.json")
    {
        _context = context;
        Add(_bundle);
        _input.Required = _policies.Required = _output.Required = true;
        foreach (Option option in (Option[])
            [
                _input, _delta, _epsilon, _loss, _policies, _grid, _test, _procedure, _rougeTokenizer, _splitSentences, _options, _batch, _seed, _output,
                .. _load.All,
            ])
        {
            Add(option);
        }

        PathSymbols.ReadStandardInputOnce(this, _input, _policies, _grid, _options);
        _loss.CompletionSources.Add([.. CalibrationLoss.All.Select(loss => loss.Name)]);
        SetAction(Run);
    }

    private int Run(ParseResult parsed)
    {
        string inputPath = parsed.GetRequiredValue(_input)!;
        string? outputPath = PathSymbols.GetOutput(parsed, _output);
        string? optionsPath = parsed.GetValue(_options);
        CalibrationLoss loss = ReadLoss(parsed);

        // Whatever can fail quickly does so before the model is loaded.
        TextGenerationOptions generation = optionsPath is null
            ? new TextGenerationOptions()
            : PathSymbols.Read(optionsPath, _context, GenerationOptionsFile.Parse).Options;
        generation = generation with { BatchSize = parsed.GetValue(_batch) };
        PolicyFile[] policies = [.. parsed.GetRequiredValue(_policies).Select(path => PolicyFile.Read(path, _context))];
        foreach (PolicyFile file in policies)
        {
            if (file.Policy is null)
                throw new InvalidDataException($"{file.Name} has no policy to calibrate: it never exits.");
            OptionNames.Check(() => ExitCalibrationEstimator.Options.CheckPolicy(file.Policy), file.Name);
        }

        IReadOnlyList<float> grid = parsed.GetValue(_grid) is { } gridPath ? PathSymbols.Read(gridPath, _context, ReadGrid) : ThresholdGrid.Default;
        using Stream input = PathSymbols.Open(inputPath, _context);
        if (outputPath is not null)
            PartialFile.Check(outputPath, inputPath);

        using EarlyExitModel model = _load.Load(parsed, parsed.GetRequiredValue(_bundle));
        CalibrationData.CheckModel(model);
        foreach (PolicyFile file in policies)
        {
            file.CheckModel(model, _context.Messages);
            OptionNames.Check(() => file.Policy!.Validate(model.Configuration), file.Name);
        }

        OptionNames.Check(() => model.CheckOptions(generation), optionsPath);
        inputPath = PathSymbols.Name(inputPath);
        List<CalibrationPrompt> prompts = ReadPrompts(input, inputPath, model, generation, loss);
        if (CalibrationData.FindDuplicates(prompts) is { } problem)
            _context.Messages.Say($"{inputPath}: {problem}");

        try
        {
            Calibrate(model, generation, prompts, outputPath, new ExitCalibrationEstimator.Options
            {
                Generation = new TextGenerationEstimator.Options(),
                Policies = [.. policies.Select(file => file.Policy!)],
                Delta = parsed.GetValue(_delta),
                Epsilon = parsed.GetValue(_epsilon),
                Loss = loss,
                Grid = grid,
                Test = parsed.GetValue(_test),
                Procedure = parsed.GetValue(_procedure),
                Seed = parsed.GetValue(_seed),
                CheckpointPath = outputPath is null ? null : $"{outputPath}.partial",
            });
        }
        catch (InvalidOperationException exception)
        {
            // Too few prompts, or one of them.
            throw new InvalidDataException($"{inputPath}: {OptionNames.InFiles(ErrorSentence.Message(exception))}", exception);
        }

        return ExitCode.Done;
    }

    private CalibrationLoss ReadLoss(ParseResult parsed)
    {
        CalibrationLoss loss = parsed.GetRequiredValue(_loss);
        if (parsed.GetValue(_splitSentences))
            _context.Messages.Say("--split-sentences changes nothing here: it is for ROUGE-Lsum, and losses have ROUGE-L.");
        if (loss.RougeTokenizer is not null)
            return loss.WithRougeTokenizer(parsed.GetValue(_rougeTokenizer));
        if (parsed.GetResult(_rougeTokenizer) is { Implicit: false })
            _context.Messages.Say($"--rouge-tokenizer changes nothing here: the loss {loss.Name} is not made of ROUGE.");
        return loss;
    }

    private void Calibrate(
        EarlyExitModel model, TextGenerationOptions generation, List<CalibrationPrompt> prompts, string? outputPath, ExitCalibrationEstimator.Options options)
    {
        using var calibration = new ExitCalibration(
            model, options, generation, prompts, progress => _context.Messages.ShowProgress(progress.Share, progress.ToString()),
            _context.Cancellation);
        if (calibration.ResumedRuns > 0)
            _context.Messages.Say($"Goes on from '{options.CheckpointPath}': finished runs there: {calibration.ResumedRuns}.");
        CalibrationCertificate certificate;
        try
        {
            certificate = calibration.Run();
        }
        catch (Exception) when (calibration.FinishedRuns > 0 && outputPath is not null)
        {
            _context.Messages.Say($"Finished runs stay in '{options.CheckpointPath}': {calibration.FinishedRuns}. The same command goes on from them.");
            throw;
        }

        _context.Messages.ClearProgress();
        if (outputPath is null)
            _context.Output.WriteLine(certificate.ToJson());
        else
            AtomicFile.Write(outputPath, "certificate", stream => stream.Write(Encoding.UTF8.GetBytes(certificate.ToJson())));
        calibration.Complete();
        _context.Messages.Say(certificate.ToString().TrimEnd());
    }

    private List<CalibrationPrompt> ReadPrompts(Stream input, string path, EarlyExitModel model, TextGenerationOptions options, CalibrationLoss loss)
    {
        var prompts = new List<CalibrationPrompt>();
        var reader = new GenerationRowReader(input);
        while (reader.TryRead(out GenerationRow row))
        {
            _context.Cancellation.ThrowIfCancellationRequested();
            if (row.Error is not null)
                throw new InvalidDataException($"{path}: {row.Error}");
            PreparedInput prepared = model.Prepare(row.Input!.Value, options);
            if (prepared.Error is not null)
                throw new InvalidDataException($"{path}: {row.Locate(OptionNames.InFiles(prepared.Error))}");
            if (prepared.CutTokens > 0)
                _context.Messages.Say(row.Locate($"the input was cut by {prepared.CutTokens} tokens to {options.MaxInputTokens}."));
            string[] references = loss.NeedsReferences ? ReadReferences(row, path) : [];
            prompts.Add(new CalibrationPrompt((int)row.LineNumber - 1, prepared, references));
        }

        return prompts;
    }

    private static string[] ReadReferences(GenerationRow row, string path)
    {
        // The fields that only pass through, as an object of their own.
        using var others = JsonDocument.Parse(row.OtherFields.Length == 0 ? "{}" : $"{{{Encoding.UTF8.GetString(row.OtherFields.Span[1..])}}}");
        try
        {
            string[] references = ReferenceFields.Read(others.RootElement, "reference", "references", "answers");
            return references.Length > 0 ? references : throw new FormatException("it has none of reference, references and answers, which the loss needs");
        }
        catch (FormatException exception)
        {
            throw new InvalidDataException($"{path}: {row.Locate($"{exception.Message}.")}", exception);
        }
    }

    private static float[] ReadGrid(Stream json, string path)
    {
        try
        {
            float[] grid = JsonSerializer.Deserialize<float[]>(JsonFields.ReadText(json, path).Span) ?? [];
            ThresholdGrid.Check(grid);
            return grid;
        }
        catch (JsonException exception)
        {
            throw new InvalidDataException($"{path} is not a JSON array of numbers: {JsonProblem.DescribeWithPlace(exception)}.", exception);
        }
        catch (ArgumentException exception)
        {
            throw new InvalidDataException($"{path}: {ErrorSentence.Message(exception)}", exception);
        }
    }

    private static Option<double> CreateShare(string name, string description, string helpName) => new(name)
    {
        Description = description,
        HelpName = helpName,
        Required = true,
        CustomParser = result =>
        {
            string given = result.Tokens[0].Value;
            if (double.TryParse(given, System.Globalization.NumberStyles.Float, System.Globalization.CultureInfo.InvariantCulture, out double value)
                && value is > 0 and < 1)
            {
                return value;
            }

            result.AddError($"{name} is '{given}'; it must be a number above 0 and below 1.");
            return 0;
        },
    };
}
