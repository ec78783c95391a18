using System.Diagnostics;
using Microsoft.ML.EarlyExit.Generation;

namespace Microsoft.ML.EarlyExit.Tool.Measurement;

/// <summary>Whole calls over the same rows in one way to generate, one call a round.</summary>
/// <param name="model">The model.</param>
/// <param name="options">How to generate.</param>
/// <param name="inputs">The rows, checked.</param>
internal sealed class TimedCalls(EarlyExitModel model, TextGenerationOptions options, IReadOnlyList<PreparedInput> inputs)
{
    private readonly List<double> _seconds = [];
    private readonly List<double> _encoderSeconds = [];
    private readonly List<double> _laterSteps = [];

    /// <summary>How many rows run side by side.</summary>
    public int Slots { get; } = Math.Min(options.BatchSize, inputs.Count);

    /// <summary>Seconds of each call.</summary>
    public IReadOnlyList<double> Seconds => _seconds;

    /// <summary>Seconds of them in the encoder.</summary>
    public IReadOnlyList<double> EncoderSeconds => _encoderSeconds;

    /// <summary>Seconds of all steps that had a row in every slot, and none at its first token.</summary>
    public IReadOnlyList<double> LaterSteps => _laterSteps;

    /// <summary>What the last call generated: the same in every round.</summary>
    public GenerationResult[] Results { get; private set; } = [];

    /// <summary>Tokens of one call.</summary>
    public int Tokens => Results.Sum(result => result.TokenIds.Count);

    /// <summary>Generates with the rows that fit side by side, unmeasured: what is made or read for the first time is made and read.</summary>
    public void WarmUp(CancellationToken cancellation)
    {
        model.WarmUp(options);
        _ = Generate(Slots, static () => { }, isMeasured: false, cancellation);
    }

    /// <summary>One call over all rows.</summary>
    /// <param name="rowEnded">Is called when a row has ended.</param>
    /// <param name="cancellation">Ends the call.</param>
    /// <exception cref="OperationCanceledException">Cancellation was requested; the call counts for nothing.</exception>
    public void Run(Action rowEnded, CancellationToken cancellation)
    {
        (double seconds, double encoderSeconds) = Generate(inputs.Count, rowEnded, isMeasured: true, cancellation);
        _seconds.Add(seconds);
        _encoderSeconds.Add(encoderSeconds);
    }

    private (double Seconds, double EncoderSeconds) Generate(int count, Action rowEnded, bool isMeasured, CancellationToken cancellation)
    {
        var results = new GenerationResult[count];
        int running = 0;
        double encoderSeconds = 0;
        long start = Stopwatch.GetTimestamp();
        using (GenerationBatch batch = model.StartBatch(options, Slots, End, cancellation))
        {
            for (int next = 0; next < count || batch.IsRunning;)
            {
                bool isFirst = false;
                while (batch.HasFreeSlot && next < count)
                {
                    isFirst = true;
                    running++;
                    long encoderStart = Stopwatch.GetTimestamp();
                    batch.Start(inputs[next], next++);
                    encoderSeconds += Stopwatch.GetElapsedTime(encoderStart).TotalSeconds;
                }

                if (!batch.IsRunning)
                    continue;
                bool isLater = isMeasured && !isFirst && running == Slots;
                long stepStart = Stopwatch.GetTimestamp();
                batch.Step();
                if (isLater)
                    _laterSteps.Add(Stopwatch.GetElapsedTime(stepStart).TotalSeconds);
            }
        }

        double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        Results = results;
        return (seconds, encoderSeconds);

        void End(long row, GenerationResult result)
        {
            results[row] = result;
            running--;
            rowEnded();
        }
    }
}
