using System.CommandLine;
using System.CommandLine.Parsing;
using Microsoft.ML.EarlyExit.Calibration;
using Microsoft.ML.EarlyExit.Evaluation.Metrics;
using Microsoft.ML.EarlyExit.Reproduction.Output;
using Microsoft.ML.EarlyExit.Tool.Interaction;
using Microsoft.ML.EarlyExit.Tool.Rows;

namespace Microsoft.ML.EarlyExit.Tool.Commands;

/// <summary><c>evaluate</c>: metrics of predictions against references, and statistics of exits.</summary>
internal sealed class EvaluateCommand : ToolCommand
{
    private const int MostBootstrapSamples = 100_000;

    private readonly ToolContext _context;
    private readonly Argument<EvaluationKind> _kind = new("KIND")
    {
        Description = "rouge, squad, bleu or chrf compare predictions with references; exits reads what generate writes.",
        HelpName = "rouge|squad|bleu|chrf|exits",
        CustomParser = ParseKind,
    };

    private readonly Option<string?> _input = PathSymbols.CreateFileOption(
        "--input", """Rows to evaluate, one JSON object per line: {"prediction" or "text", "reference" or "references" or "answers"}; - for standard input.""");

    private readonly Option<string?> _output = PathSymbols.CreateFileOption("--output", "Where the figures of the whole go; standard output by default.");
    private readonly Option<string?> _rows = PathSymbols.CreateFileOption(
        "--rows", "Where a line for every row goes; - for standard output, before the figures unless --output names a file for them.");

    private readonly Option<bool> _stemmer = new("--stemmer") { Description = "Compare the stems of words (rouge)." };
    private readonly Option<bool> _average = new("--average") { Description = "Average over a row's references instead of taking the best (rouge)." };
    private readonly Option<RougeTokenizer> _rougeTokenizer = Choice.CreateOption(
        "--rouge-tokenizer", "What words are (rouge)", CalibrationCertificateJson.Tokenizers);

    private readonly Option<bool> _splitSentences = new("--split-sentences")
    {
        Description = "Take each sentence for a line (rouge): on texts of one line ROUGE-Lsum is ROUGE-L.",
    };

    private readonly Option<BleuTokenizer> _bleuTokenizer = Choice.CreateOption(
        "--tokenize", "What tokens are, as sacrebleu has them (bleu)", BleuScorer.Tokenizers);

    private readonly Option<bool> _lowercase = new("--lowercase") { Description = "Compare texts in lower case (bleu)." };
    private readonly Option<int> _wordOrder = Choice.CreateOption(
        "--word-order", "The longest n-grams of words that count; with 2 it is chrF++ (chrf)", [("0", 0), ("1", 1), ("2", 2)]);

    private readonly Option<int> _bootstrap = new("--bootstrap")
    {
        Description = $"Bootstrap samples for 95 % intervals, 1 to {MostBootstrapSamples}; none by default.",
        HelpName = "N",
        CustomParser = ParseBootstrap,
    };

    private readonly Option<int> _seed = new("--seed") { Description = "The seed of the bootstrap; 0 by default.", HelpName = "S" };
    private readonly Option<bool> _strict = StrictOption.Create();

    public EvaluateCommand(ToolContext context)
        : base("evaluate", "Compute metrics of generated rows.", "rouge --input generated.jsonl --rows scores.jsonl --stemmer")
    {
        _context = context;
        Add(_kind);
        // In the place of the enumeration's own names.
        _kind.CompletionSources.Clear();
        _kind.CompletionSources.Add([.. Enum.GetNames<EvaluationKind>().Select(name => name.ToLowerInvariant())]);
        _input.Required = true;
        foreach (Option option in (Option[])
            [
                _input, _output, _rows, _stemmer, _average, _rougeTokenizer, _splitSentences, _bleuTokenizer, _lowercase, _wordOrder, _bootstrap, _seed,
                _strict,
            ])
        {
            Add(option);
        }

        Validators.Add(result =>
        {
            // Another argument that is wrong has been said already, and has no value.
            if (result.GetResult(_kind) is not { Tokens: [var token] } || !Enum.TryParse(token.Value, ignoreCase: true, out EvaluationKind kind))
                return;
            foreach ((EvaluationKind wanted, Option[] options) in (ReadOnlySpan<(EvaluationKind, Option[])>)
                [
                    (EvaluationKind.Rouge, [_stemmer, _average, _rougeTokenizer, _splitSentences]), (EvaluationKind.Bleu, [_bleuTokenizer, _lowercase]),
                    (EvaluationKind.Chrf, [_wordOrder]),
                ])
            {
                if (kind != wanted && options.FirstOrDefault(option => result.GetResult(option) is { Implicit: false }) is { } other)
                    result.AddError($"{other.Name} is for {wanted.ToString().ToLowerInvariant()}.");
            }

            if (kind is EvaluationKind.Bleu or EvaluationKind.Chrf && result.GetResult(_rows) is not null)
                result.AddError("--rows is for rouge, squad and exits: BLEU and chrF are metrics of a whole corpus.");
        });
        SetAction(Run);
    }

    private static EvaluationKind ParseKind(ArgumentResult result) =>
        Choice.Parse(result, "KIND", [.. Enum.GetValues<EvaluationKind>().Select(kind => (kind.ToString().ToLowerInvariant(), kind))]);

    private static int ParseBootstrap(ArgumentResult result)
    {
        string given = result.Tokens[0].Value;
        if (int.TryParse(given, out int samples) && samples is >= 1 and <= MostBootstrapSamples)
            return samples;
        result.AddError($"--bootstrap is '{given}'; it must be a whole number from 1 to {MostBootstrapSamples}.");
        return 0;
    }

    private int Run(ParseResult parsed)
    {
        EvaluationKind kind = parsed.GetValue(_kind);
        string inputPath = parsed.GetRequiredValue(_input)!;
        string? outputPath = PathSymbols.GetOutput(parsed, _output);
        string? rowsPath = PathSymbols.GetOutput(parsed, _rows);
        using Stream input = PathSymbols.Open(inputPath, _context);
        if (outputPath is not null)
            PartialFile.Check(outputPath, inputPath);
        if (rowsPath is not null)
            PartialFile.Check(rowsPath, inputPath);
        if (outputPath is not null && rowsPath is not null && Path.GetFullPath(outputPath) == Path.GetFullPath(rowsPath))
            throw new IOException($"--output and --rows are both '{rowsPath}'; name two files.");

        RowScorer scorer = CreateScorer(kind, parsed);
        int samples = parsed.GetValue(_bootstrap);
        var totals = new EvaluationAccumulator(
            scorer, samples > 0 ? new PoissonBootstrap(samples, EvaluationTotals.Count, parsed.GetValue(_seed)) : null);
        var writer = new EvaluationWriter(kind);
        var stopReasons = new SortedDictionary<string, long>(StringComparer.Ordinal);
        using PartialFile? rowsFile = rowsPath is null ? null : PartialFile.Create(rowsPath);
        TextWriter? rowsWriter = rowsFile?.Writer ?? (parsed.GetValue(_rows) is null ? null : _context.Output);
        var outcome = new RowOutcome(_context.Messages);
        bool countsOperations = true;
        try
        {
            var reader = new EvaluatedRowReader(input, kind);
            while (reader.TryRead(out EvaluatedRow row))
            {
                _context.Cancellation.ThrowIfCancellationRequested();
                RowScores scores = default;
                if (row.StopReason is { } reason)
                    stopReasons[reason] = stopReasons.GetValueOrDefault(reason) + 1;
                if (row.Error is null)
                {
                    scores = totals.Add(row.Prediction, row.References, "", row.ExitLayers, row.Operations.GetValueOrDefault(), _context.Cancellation);
                    countsOperations &= row.Operations is not null;
                }
                else
                {
                    totals.AddBad(row.Problem);
                }

                outcome.Add(row.Error);
                // Rows on a terminal must not run into the progress bar.
                if (rowsWriter is not null && rowsFile is null)
                    _context.Messages.ClearProgress();
                rowsWriter?.WriteLine(writer.Row(row, scores));
                if (input.CanSeek)
                    _context.Messages.ShowProgress(reader.Position / Math.Max(1.0, input.Length), GenerationRun.CountRows(outcome.Rows));
            }

            if (outcome.Rows == 0)
                throw new InvalidDataException($"{PathSymbols.Name(inputPath)}: there is no row to evaluate.");
        }
        catch (Exception) when (outcome.Rows > 0 && rowsFile is not null)
        {
            _context.Messages.Say($"{GenerationRun.CountRows(outcome.Rows)} evaluated before stay in '{rowsFile.Path}'.");
            throw;
        }

        TextGenerationMetrics metrics = totals.ToMetrics(TimeSpan.Zero, TextGenerationEvaluationOptions.Defaults.ConfidenceLevel);
        if (metrics.RougeTexts is { DropsTooMuch: true } dropped)
        {
            _context.Messages.Say(
                $"{dropped.DescribeDropped()} of the texts, and its scores know nothing of them: --rouge-tokenizer unicode takes words of any script.");
        }

        rowsFile?.Complete();
        Write(writer.Corpus(metrics, stopReasons, countsOperations), outputPath);
        outcome.SayReasons();
        string place = rowsFile is not null ? $"; '{rowsPath}' says why" : rowsWriter is null ? "; --rows FILE says why" : "";
        _context.Messages.Say(outcome.Errors == 0
            ? $"Evaluated {GenerationRun.CountRows(outcome.Rows)}."
            : $"Evaluated {GenerationRun.CountRows(outcome.Rows)}, but for {outcome.Errors} that cannot be{place}.");
        return outcome.ToExitCode(parsed.GetValue(_strict));
    }

    private RowScorer CreateScorer(EvaluationKind kind, ParseResult parsed) => new(
        kind switch
        {
            EvaluationKind.Rouge => EvaluationMetrics.Rouge,
            EvaluationKind.Squad => EvaluationMetrics.Squad,
            EvaluationKind.Bleu => EvaluationMetrics.Bleu,
            EvaluationKind.Chrf => EvaluationMetrics.Chrf,
            _ => EvaluationMetrics.None,
        },
        new RougeScorer(
            parsed.GetValue(_stemmer), parsed.GetValue(_average) ? ReferenceAggregation.Average : ReferenceAggregation.Best, parsed.GetValue(_rougeTokenizer),
            parsed.GetValue(_splitSentences)))
    {
        BleuTokenizer = parsed.GetValue(_bleuTokenizer),
        BleuLowercase = parsed.GetValue(_lowercase),
        ChrfWordOrder = parsed.GetValue(_wordOrder),
        HasExitLayers = kind == EvaluationKind.Exits,
        HasOperations = kind == EvaluationKind.Exits,
    };

    private void Write(string json, string? path)
    {
        if (path is null)
        {
            _context.Messages.ClearProgress();
            _context.Output.WriteLine(json);
            _context.Output.Flush();
            return;
        }

        using PartialFile file = PartialFile.Create(path);
        file.Writer.WriteLine(json);
        file.Complete();
    }
}
