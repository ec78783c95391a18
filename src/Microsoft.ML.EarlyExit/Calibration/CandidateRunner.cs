using Microsoft.ML.EarlyExit.Generation;

namespace Microsoft.ML.EarlyExit.Calibration;

/// <summary>
/// Generates for the same prompts under one policy after the other. The encoder runs once for a prompt, as far as its outputs fit into memory; and where a
/// lower threshold changes nothing for a prompt, nothing is generated again: the output is the one before.
/// </summary>
internal sealed class CandidateRunner : IDisposable
{
    /// <summary>Encoder outputs that are kept.</summary>
    private const long LargestCache = 1L << 30;

    private readonly EarlyExitModel _model;
    private readonly TextGenerationOptions _options;
    private readonly IReadOnlyList<CalibrationPrompt> _prompts;
    private readonly EncoderCache _encoded;
    private readonly CancellationToken _cancellationToken;

    /// <param name="model">The model.</param>
    /// <param name="options">How to generate; the policy is given for each run.</param>
    /// <param name="prompts">The prompts.</param>
    /// <param name="cancellationToken">Looked at between operators.</param>
    public CandidateRunner(EarlyExitModel model, TextGenerationOptions options, IReadOnlyList<CalibrationPrompt> prompts, CancellationToken cancellationToken)
    {
        _model = model;
        _options = options;
        _prompts = prompts;
        _cancellationToken = cancellationToken;
        _encoded = new EncoderCache(model.Loaded, LargestCache);
    }

    /// <summary>Prompts that were generated so far, those of all runs together; the others were taken over.</summary>
    public long GeneratedCount { get; private set; }

    /// <summary>Generates for all prompts.</summary>
    /// <param name="policy">The policy; null for the full model.</param>
    /// <param name="previous">The outputs of the same policy at a threshold that is not lower; null for none.</param>
    /// <param name="progress">Is told how many prompts of this run are done.</param>
    /// <returns>The outputs, in the prompts' order.</returns>
    /// <exception cref="InvalidOperationException">A prompt cannot be generated; the message names its row.</exception>
    public CandidateOutput[] Run(ExitPolicy? policy, CandidateOutput[]? previous, Action<int>? progress = null)
    {
        var outputs = new CandidateOutput[_prompts.Count];
        var missing = new Queue<int>();
        for (int row = 0; row < outputs.Length; row++)
        {
            if (previous is not null && policy is not null && KeepsOutput(policy, previous[row]))
                outputs[row] = previous[row];
            else
                missing.Enqueue(row);
        }

        int done = outputs.Length - missing.Count;
        progress?.Invoke(done);
        if (missing.Count == 0)
            return outputs;
        using GenerationBatch batch = _model.StartBatch(
            _options with { Exit = policy, Trace = false },
            Math.Min(_options.BatchSize, missing.Count),
            (row, result) =>
            {
                outputs[row] = Output(_prompts[(int)row].Row, result);
                GeneratedCount++;
                progress?.Invoke(++done);
            },
            _cancellationToken);
        while (missing.Count > 0 || batch.IsRunning)
        {
            while (batch.HasFreeSlot && missing.TryDequeue(out int row))
                batch.Start(_prompts[row].Input, row, _encoded);
            if (batch.IsRunning)
                batch.Step();
        }

        return outputs;
    }

    public void Dispose() => _encoded.Dispose();

    /// <summary>Whether a prompt's output is the same at the policy's threshold as at a higher one.</summary>
    /// <remarks>Tokens that exited are above the lower threshold too. Only those that did not could exit now; and a threshold that moves while generating says
    /// nothing about another that moves.</remarks>
    private static bool KeepsOutput(ExitPolicy policy, in CandidateOutput previous) =>
        policy is { ThresholdTemperature: 0, ShallowDeep: not { AdaptiveThreshold: true }, SelfSpeculation: null }
        && previous.HighestStaying <= policy.Threshold;

    private static CandidateOutput Output(int row, GenerationResult result)
    {
        if (result.StopReason == StopReason.Error)
        {
            throw new InvalidOperationException(
                $"Row {row}, counted from 0, could not be generated, so nothing can be said of the data it belongs to: {result.Error}");
        }

        long layers = 0;
        foreach (int layer in result.ExitLayers)
            layers += layer;
        return new CandidateOutput(result.Text!, result.TokenIds.Count, layers, result.Operations, result.HighestStayingConfidence);
    }
}
