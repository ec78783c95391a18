using System.Diagnostics;
using Microsoft.ML.EarlyExit.Generation;

namespace Microsoft.ML.EarlyExit.Reproduction;

/// <summary>
/// Measures the time per token of a policy at batch 1, each row beside the same row at full depth, so that a slow moment of the machine hits both: policy,
/// full depth, full depth, policy. Of the two times of each the shorter counts, which leaves out what else the machine did.
/// </summary>
internal sealed class LatencyMeasurement : IDisposable
{
    /// <summary>How often a measured row is generated with the policy, and at full depth.</summary>
    public const int Repetitions = 2;

    private readonly GenerationBatch _policy;
    private readonly GenerationBatch _fullDepth;
    private readonly List<(Run Policy, Run FullDepth)> _pairs = [];
    private GenerationResult? _result;
    private bool _isWarm;

    public LatencyMeasurement(EarlyExitModel model, TextGenerationOptions options, CancellationToken cancellation)
    {
        // Some sessions are needed by a later row first, whose time they are no part of.
        model.WarmUp(options with { BatchSize = 1 });
        model.WarmUp(options with { BatchSize = 1, Exit = null });
        _policy = model.StartBatch(options, 1, (_, result) => _result = result, cancellation);
        try
        {
            _fullDepth = model.StartBatch(options with { Exit = null }, 1, (_, result) => _result = result, cancellation);
        }
        catch
        {
            _policy.Dispose();
            throw;
        }
    }

    /// <summary>Measures one row; one that fails is left out.</summary>
    public void Add(PreparedInput input)
    {
        if (!_isWarm)
        {
            Generate(_policy, input);
            Generate(_fullDepth, input);
            _isWarm = true;
        }

        Run? first = Generate(_policy, input);
        Run? fullDepth = Shorter(Generate(_fullDepth, input), Generate(_fullDepth, input));
        Run? policy = Shorter(first, Generate(_policy, input));
        if (policy is { } one && fullDepth is { } other)
            _pairs.Add((one, other));
    }

    /// <summary>What was measured; null where no row was.</summary>
    public LatencySummary? Summarize(int seed)
    {
        if (_pairs.Count == 0)
            return null;
        long tokens = _pairs.Sum(pair => pair.Policy.Tokens);
        long fullDepthTokens = _pairs.Sum(pair => pair.FullDepth.Tokens);
        return new LatencySummary
        {
            Rows = _pairs.Count,
            Tokens = tokens,
            FullDepthTokens = fullDepthTokens,
            MillisecondsPerToken = _pairs.Sum(pair => pair.Policy.Decoder) / tokens,
            FullDepthMillisecondsPerToken = _pairs.Sum(pair => pair.FullDepth.Decoder) / fullDepthTokens,
            Ratio = Ratio(run => run.Decoder, seed),
            MillisecondsPerTokenWithEncoder = _pairs.Sum(pair => pair.Policy.Whole) / tokens,
            FullDepthMillisecondsPerTokenWithEncoder = _pairs.Sum(pair => pair.FullDepth.Whole) / fullDepthTokens,
            RatioWithEncoder = Ratio(run => run.Whole, seed),
        };
    }

    public void Dispose()
    {
        _policy.Dispose();
        _fullDepth.Dispose();
    }

    private Estimate Ratio(Func<Run, double> time, int seed) => Bootstrap.Of(_pairs.Count, seed, rows =>
    {
        double policy = 0, fullDepth = 0;
        long tokens = 0, fullDepthTokens = 0;
        foreach (int row in rows)
        {
            (Run one, Run other) = _pairs[row];
            policy += time(one);
            tokens += one.Tokens;
            fullDepth += time(other);
            fullDepthTokens += other.Tokens;
        }

        return policy / tokens / (fullDepth / fullDepthTokens);
    });

    /// <summary>Each time the shorter of two; the tokens are the same.</summary>
    private static Run? Shorter(Run? first, Run? second) => first is { } one && second is { } other
        ? new Run(one.Tokens, Math.Min(one.Decoder, other.Decoder), Math.Min(one.Whole, other.Whole))
        : null;

    private Run? Generate(GenerationBatch batch, PreparedInput input)
    {
        _result = null;
        long start = Stopwatch.GetTimestamp();
        batch.Start(input, 0);
        double encoder = Stopwatch.GetElapsedTime(start).TotalMilliseconds;
        while (batch.IsRunning)
            batch.Step();
        double whole = Stopwatch.GetElapsedTime(start).TotalMilliseconds;
        return _result is { StopReason: not StopReason.Error, TokenIds.Count: > 0 } result ? new Run(result.TokenIds.Count, whole - encoder, whole) : null;
    }

    /// <summary>One generation: its tokens, and the milliseconds without and with the encoder.</summary>
    private readonly record struct Run(int Tokens, double Decoder, double Whole);
}
