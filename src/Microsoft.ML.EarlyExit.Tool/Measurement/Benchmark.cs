using Microsoft.ML.EarlyExit.Generation;
using Microsoft.ML.EarlyExit.Runtime;
using Microsoft.ML.EarlyExit.Tool.Interaction;

namespace Microsoft.ML.EarlyExit.Tool.Measurement;

/// <summary>
/// Measures a model on this machine: whole calls with a policy and at full depth in turns, so that a slow moment hits both, the machine's bandwidth between
/// them, and then the parts of a step.
/// </summary>
/// <param name="context">Where progress goes.</param>
/// <param name="model">The model.</param>
/// <param name="options">How to generate; without a policy only full depth is measured.</param>
/// <param name="inputs">The rows, checked; at least one.</param>
internal sealed class Benchmark(ToolContext context, EarlyExitModel model, TextGenerationOptions options, IReadOnlyList<PreparedInput> inputs)
{
    // Enough for a median; a step of a large model at a large batch takes tenths of a second.
    private const int MostPartSteps = 64;

    private readonly TimedCalls _fullDepth = new(model, options with { Exit = null }, inputs);
    private readonly TimedCalls? _policy = options.Exit is null ? null : new(model, options, inputs);
    private readonly List<double> _bandwidths = [];
    private long _residentBytes;

    /// <summary>How many rows run side by side.</summary>
    public int Slots => _fullDepth.Slots;

    /// <summary>Threads of a step.</summary>
    public int Threads => model.Sessions.ThreadCount;

    /// <summary>Rounds that were measured to their end.</summary>
    public int Rounds { get; private set; }

    /// <summary>What was generated with the policy, and at full depth, the same where there is none.</summary>
    public IEnumerable<(GenerationResult Policy, GenerationResult FullDepth)> Results => (_policy ?? _fullDepth).Results.Zip(_fullDepth.Results);

    /// <summary>Measures whole calls.</summary>
    /// <exception cref="OperationCanceledException">Cancellation was requested; earlier rounds stay.</exception>
    public void Run(int rounds)
    {
        _fullDepth.WarmUp(context.Cancellation);
        _policy?.WarmUp(context.Cancellation);
        _residentBytes = Environment.WorkingSet;
        using var bandwidth = new MemoryBandwidth(model.Sessions.ThreadPool, Threads);
        int ended = 0;
        for (int round = 0; round < rounds; round++)
        {
            _bandwidths.Add(bandwidth.Measure());
            // The order is swapped each round: what comes second finds the caches and the clock as the first leaves them.
            TimedCalls?[] order = round % 2 == 0 ? [_policy, _fullDepth] : [_fullDepth, _policy];
            foreach (TimedCalls calls in order.OfType<TimedCalls>())
                calls.Run(() => ShowProgress(++ended, rounds), context.Cancellation);
            Rounds++;
        }

        context.Messages.ClearProgress();
    }

    /// <summary>The whole calls that were measured, in a few words; there must be a round.</summary>
    public string Describe()
    {
        string fullDepth = CallFigures.Of(_fullDepth).TokensPerSecond.Show("0.0");
        return _policy is null
            ? $"{fullDepth} tokens/s at full depth"
            : $"{CallFigures.Of(_policy).TokensPerSecond.Show("0.0")} tokens/s with the policy, {fullDepth} at full depth";
    }

    /// <summary>Measures the parts of a step, and puts all figures together; some row must have been generated.</summary>
    /// <param name="loadSeconds">What loading took.</param>
    public BenchFigures Complete(double loadSeconds)
    {
        int steps = Math.Clamp(_fullDepth.Tokens / inputs.Count, 1, MostPartSteps);
        PreparedInput[] sound = [.. inputs.Zip(_fullDepth.Results).Where(pair => pair.Second.Error is null).Select(pair => pair.First).Take(Slots)];
        (double[] block, double[] head, double[] screen) = FullDepthStep.Measure(model.Loaded, sound, steps, context.Cancellation);
        bool hasLaterSteps = _fullDepth.LaterSteps.Count > 0;
        return new BenchFigures
        {
            Policy = _policy is null ? null : CallFigures.Of(_policy),
            FullDepth = CallFigures.Of(_fullDepth),
            Speedup = Speedup((calls, round) => calls.Seconds[round]),
            DecodingSpeedup = Speedup((calls, round) => calls.Seconds[round] - calls.EncoderSeconds[round]),
            EqualOutputs = Results.Count(pair => pair.Policy.TokenIds.SequenceEqual(pair.FullDepth.TokenIds)),
            MeanExitLayer = MeanExitLayer(),
            EncoderMilliseconds = 1000 * MeasuredRange.Of(_fullDepth.EncoderSeconds).Median / inputs.Count,
            BlockMilliseconds = MeasuredRange.Of(block).Median,
            HeadMilliseconds = MeasuredRange.Of(head).Median,
            ScreenMilliseconds = screen.Length == 0 ? null : MeasuredRange.Of(screen).Median,
            MultipliedAgain =
            [
                .. Enumerable.Range(1, model.Configuration.DecoderLayerCount).Select(layer => (Layer: layer, Counts: model.EstimatesAfter(layer)))
                    .Where(at => at.Counts.Estimated > 0).Select(at => (at.Layer, (double)at.Counts.Again / at.Counts.Estimated)),
            ],
            StepMilliseconds = hasLaterSteps ? 1000 * MeasuredRange.Of(_fullDepth.LaterSteps).Median : null,
            Reads = hasLaterSteps && model.Sessions.Device is null ? StepReads.Of(model, inputs, _fullDepth.Results, Slots) : null,
            Bandwidth = MeasuredRange.Of(_bandwidths).Median,
            ResidentBytes = _residentBytes,
            LoadSeconds = loadSeconds,
        };
    }

    private void ShowProgress(int ended, int rounds) => context.Messages.ShowProgress(
        ended / ((double)rounds * inputs.Count * (_policy is null ? 1 : 2)), $"round {Math.Min(Rounds + 1, rounds)} of {rounds}");

    private MeasuredRange? Speedup(Func<TimedCalls, int, double> seconds) => _policy is null
        ? null
        : MeasuredRange.Of(Enumerable.Range(0, Rounds).Select(round =>
            _policy.Tokens / seconds(_policy, round) / (_fullDepth.Tokens / seconds(_fullDepth, round))));

    private double MeanExitLayer()
    {
        int[] layers = [.. (_policy ?? _fullDepth).Results.SelectMany(result => result.ExitLayers)];
        return layers.Length == 0 ? model.Configuration.DecoderLayerCount : layers.Average();
    }
}
