using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using Microsoft.ML.EarlyExit.Generation;
using Microsoft.ML.EarlyExit.Model.Weights;
using Microsoft.ML.EarlyExit.Tool.Interaction;
using Microsoft.ML.EarlyExit.Tool.Measurement;
using Microsoft.ML.EarlyExit.Tool.Output;
using Microsoft.ML.EarlyExit.Tool.Rows;

namespace Microsoft.ML.EarlyExit.Tool.Commands;

/// <summary><c>bench</c>: how fast a model is on this machine, with a policy and at full depth, and what bounds it.</summary>
internal sealed class BenchCommand : ToolCommand
{
    private const int DefaultRounds = 5;
    private const int MostRounds = 1000;

    private readonly ToolContext _context;
    private readonly Argument<string> _bundle = PathSymbols.CreateArgument("BUNDLE", "The folder of the model bundle.");
    private readonly Option<string?> _input = PathSymbols.CreateFileOption(
        "--input",
        """Rows to generate from, one JSON object per line: {"text"} or {"inputIds"}; - for standard input. By default rows of the tool's own, """
        + $"with {BuiltInRows.TokensPerRow} tokens for each where the options do not say how many.");

    private readonly Option<string?> _policy = PathSymbols.CreateFileOption(
        "--policy",
        "The exit policy to measure in turns with full depth: a JSON file, a certificate of this model, or a pipeline that was saved; "
        + "by default full depth is measured alone.");

    private readonly Option<string?> _options = PathSymbols.CreateFileOption(
        "--options", "The generation options, a JSON file; minNewTokens and maxNewTokens of one value force that length.");

    private readonly Option<int> _batch = BatchOption.Create();
    private readonly Option<int?> _rounds = NumberOption.CreateWhole(
        "--rounds", $"How often all rows are generated in each way, 1 to {MostRounds}; {DefaultRounds} by default.", 1, MostRounds);

    private readonly Option<bool> _json = new("--json") { Description = "Write one JSON object instead of text." };
    private readonly LoadOptions _load = new();

    public BenchCommand(ToolContext context)
        : base(
            "bench", "Measure how fast a model generates on this machine, in whole calls and part by part.",
            "flan-t5-small.bundle --input prompts.jsonl --policy policy.json --batch 8")
    {
        _context = context;
        Add(_bundle);
        foreach (Option option in (Option[])[_input, _policy, _options, _batch, _rounds, _json, .. _load.All])
            Add(option);
        PathSymbols.ReadStandardInputOnce(this, _input, _policy, _options);
        SetAction(Run);
    }

    private int Run(ParseResult parsed)
    {
        string? inputPath = parsed.GetValue(_input);
        string? optionsPath = parsed.GetValue(_options);

        // Whatever can fail quickly does so before the model is loaded.
        TextGenerationOptions options = optionsPath is null
            ? new TextGenerationOptions()
            : PathSymbols.Read(optionsPath, _context, GenerationOptionsFile.Parse).Options;
        PolicyFile? policy = parsed.GetValue(_policy) is { } policyPath ? PolicyFile.Read(policyPath, _context) : null;
        options = options with { BatchSize = parsed.GetValue(_batch), Exit = policy?.Policy };
        using Stream? input = inputPath is null ? null : PathSymbols.Open(inputPath, _context);
        if (input is null && options is { MinNewTokens: null, MaxNewTokens: null })
            options = options with { MinNewTokens = BuiltInRows.TokensPerRow, MaxNewTokens = BuiltInRows.TokensPerRow };

        long start = Stopwatch.GetTimestamp();
        using EarlyExitModel model = _load.Load(parsed, parsed.GetRequiredValue(_bundle));
        policy?.CheckModel(model, _context.Messages);
        OptionNames.Check(() => policy?.Policy?.Validate(model.Configuration), policy?.Name);
        OptionNames.Check(() => model.CheckOptions(options), optionsPath);
        model.WarmUp(options with { Exit = null });
        double loadSeconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        if (policy is { Policy: null })
            _context.Messages.Say($"{policy.Name} never exits: it is full depth that is measured.");

        var outcome = new RowOutcome(_context.Messages);
        IEnumerable<GenerationRow> rows = input is null ? BuiltInRows.For(model, options.BatchSize) : Read(new GenerationRowReader(input));
        List<PreparedInput> inputs = Prepare(rows, model, options, outcome);
        if (inputs.Count == 0)
        {
            outcome.SayReasons();
            throw new InvalidDataException($"{(inputPath is null ? "There is" : $"{PathSymbols.Name(inputPath)} has")} no row to measure.");
        }

        var benchmark = new Benchmark(_context, model, options, inputs);
        BenchFigures figures;
        try
        {
            benchmark.Run(parsed.GetValue(_rounds) ?? DefaultRounds);
            foreach ((GenerationResult one, GenerationResult other) in benchmark.Results)
                outcome.Add((one.Error ?? other.Error) is { } error ? OptionNames.InFiles(error) : null);
            outcome.SayReasons();
            if (outcome.ToExitCode(isStrict: false) is var failed and not ExitCode.Done)
                return failed;
            figures = benchmark.Complete(loadSeconds);
        }
        catch (OperationCanceledException) when (benchmark.Rounds > 0)
        {
            _context.Messages.Say($"Measured in {CountRounds(benchmark.Rounds)}: {benchmark.Describe()}.");
            throw;
        }

        if (figures.Policy is not null && figures.MeanExitLayer >= model.Configuration.DecoderLayerCount)
            _context.Messages.Say($"With {policy!.Name} no token exits early.");
        if (parsed.GetValue(_json))
            _context.Output.WriteLine(figures.ToJson());
        else
            WriteText(model, benchmark, figures);
        return ExitCode.Done;
    }

    private static IEnumerable<GenerationRow> Read(GenerationRowReader reader)
    {
        while (reader.TryRead(out GenerationRow row))
            yield return row;
    }

    /// <summary>The rows that can be generated from; why others cannot be is kept for a message.</summary>
    private List<PreparedInput> Prepare(IEnumerable<GenerationRow> rows, EarlyExitModel model, TextGenerationOptions options, RowOutcome outcome)
    {
        var inputs = new List<PreparedInput>();
        foreach (GenerationRow row in rows)
        {
            _context.Cancellation.ThrowIfCancellationRequested();
            PreparedInput? prepared = row.Input is { } given ? model.Prepare(given, options) : null;
            string? error = prepared is { Error: { } refused } ? row.Locate(OptionNames.InFiles(refused)) : row.Error;
            if (error is not null)
            {
                outcome.Add(error);
                continue;
            }

            if (prepared!.Value.CutTokens > 0)
                _context.Messages.Say(row.Locate($"the input was cut by {prepared.Value.CutTokens} tokens to {options.MaxInputTokens}."));
            inputs.Add(prepared.Value);
        }

        return inputs;
    }

    private void WriteText(EarlyExitModel model, Benchmark benchmark, BenchFigures figures)
    {
        int layers = model.Configuration.DecoderLayerCount;
        Line("bundle", $"{model.Bundle.Folder} ({WeightFormat.Of(model.Bundle.Manifest.Precision).Name}, {layers} decoder layers)");
        Line(
            "calls",
            $"{GenerationRun.CountRows(figures.FullDepth.Rows)}, {benchmark.Slots} side by side, {CountRounds(benchmark.Rounds)}, "
            + $"{Count(benchmark.Threads, "thread")}; medians, in brackets the lowest and the highest");
        if (figures.Policy is { } policy)
            Line("policy", Calls(policy));
        Line("full depth", Calls(figures.FullDepth));
        if (figures is { Speedup: { } speedup, DecodingSpeedup: { } decoding })
        {
            Line("speedup", $"{speedup.Show("0.00")} times full depth's tokens/s; without the encoder {decoding.Show("0.00")}");
            Line("outputs", Text($"{figures.EqualOutputs} of {figures.FullDepth.Rows} equal to full depth's, mean exit layer {figures.MeanExitLayer:0.00}"));
        }

        Line("encoder", Text($"{figures.EncoderMilliseconds:0.00} ms a row"));
        Line("block", Text($"{figures.BlockMilliseconds:0.000} ms in a step"));
        Line("head", Text($"{figures.HeadMilliseconds:0.000} ms over the whole vocabulary"));
        if (figures.ScreenMilliseconds is { } screen)
            Line("screen", Text($"{screen:0.000} ms in a step, in the place of the whole head"));
        if (figures.MultipliedAgain.Count > 0)
        {
            Line(
                "again",
                $"of the logits it estimated, with the head's own rows: "
                + string.Join(", ", figures.MultipliedAgain.Select(at => Text($"{at.Share:0.0000} after layer {at.Layer}"))));
        }

        if (figures.StepMilliseconds is { } step)
            Line("later step", Text($"{step:0.00} ms at full depth"));
        Line("bandwidth", Text($"{figures.Bandwidth / 1e9:0.0} GB/s that all threads read"));
        if (figures is { Reads: { } reads, BoundMilliseconds: { } bound, BandwidthShare: { } share })
        {
            Line(
                "bound",
                Text($"{bound:0.00} ms: a later step reads {reads.Total / 1e6:0.0} MB, ")
                + Text($"{reads.Blocks / 1e6:0.0} of blocks, {reads.Head / 1e6:0.0} of the head, {reads.KeysValues / 1e6:0.0} of keys and values"));
            Line("", Text($"it reaches {share:0.00} of the bandwidth"));
        }

        Line("memory", Text($"{figures.ResidentBytes / 1e6:0} MB resident"));
        Line("load", Text($"{figures.LoadSeconds:0.00} s until the first token can be generated"));

        void Line(string name, string value) => _context.Output.WriteLine($"{(name.Length > 0 ? name + ":" : ""),-14} {value}");

        static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);

        static string Calls(CallFigures calls) =>
            $"{calls.TokensPerSecond.Show("0.0")} tokens/s: {Text($"{calls.Tokens} tokens in {calls.Seconds.Median:0.000} s")}";
    }

    private static string CountRounds(int count) => Count(count, "round");

    private static string Count(int count, string what) => count == 1 ? $"1 {what}" : $"{count} {what}s";
}
