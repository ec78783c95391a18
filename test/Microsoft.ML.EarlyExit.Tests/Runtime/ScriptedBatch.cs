using Microsoft.ML.EarlyExit.Model;
using Microsoft.ML.EarlyExit.Runtime;
using Microsoft.ML.OnnxRuntime;

namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>A batch whose rows are scripts: which token comes next and after which segment it exits. Keeps the hidden states that were seen.</summary>
internal sealed class ScriptedBatch : IDisposable
{
    private readonly EarlyExitModel _model;
    private readonly RunOptions _run = new();
    private readonly List<EncodedInput> _inputs = [];

    public ScriptedBatch(string model, int slots, DecoderSegment[] segments, StatePropagation propagation, int maxPositions)
        : this(TestModels.Model(model), slots, segments, propagation, maxPositions)
    {
    }

    public ScriptedBatch(EarlyExitModel model, int slots, DecoderSegment[] segments, StatePropagation propagation, int maxPositions)
    {
        _model = model;
        Segments = segments;
        Batch = new DecoderBatch(
            _model.Bundle, _model.Sessions, slots, segments, propagation, maxPositions, new OperationCosts(_model.Configuration), _run);
        Rows = new List<Step>[slots];
    }

    public DecoderBatch Batch { get; }

    public DecoderSegment[] Segments { get; }

    /// <summary>By slot, what its row has gone through; a test that forks or rolls back keeps the books.</summary>
    public List<Step>[] Rows { get; }

    public void Admit(int slot, IReadOnlyList<int> inputIds)
    {
        _inputs.Add(EncodedInput.Encode(_model.Sessions.Encoder, inputIds, _model.Configuration.ModelDimension, _run));
        Batch.Admit(slot, _inputs[^1]);
        Rows[slot] = [];
    }

    /// <summary>One token of each slot; <paramref name="exits"/> has the index of the segment after which it exits.</summary>
    public void Run(int[] slots, int[] tokens, int[] exits)
    {
        Batch.Embed(slots, tokens);
        List<int> running = [.. Enumerable.Range(0, slots.Length)];
        foreach (int index in running)
            Rows[slots[index]].Add(new Step(tokens[index], exits[index], []));
        for (int segment = 0; segment < Segments.Length && running.Count > 0; segment++)
        {
            Batch.Run(segment, [.. running.Select(index => slots[index])]);
            var staying = new List<int>();
            for (int row = 0; row < running.Count; row++)
            {
                int index = running[row];
                Rows[slots[index]][^1].States.Add(Batch.Hidden(row).ToArray());
                if (exits[index] == segment)
                {
                    Batch.Advance(slots[index], row, exitsEarly: segment < Segments.Length - 1);
                    continue;
                }

                Batch.Hidden(row).CopyTo(Batch.Hidden(staying.Count));
                staying.Add(index);
            }

            running = staying;
        }
    }

    public void Dispose()
    {
        Batch.Dispose();
        _inputs.ForEach(input => input.Dispose());
        _run.Dispose();
    }

    /// <summary>The layers cut into random groups.</summary>
    public static DecoderSegment[] RandomSegments(Random random, int layers)
    {
        var segments = new List<DecoderSegment>();
        for (int first = 1, last; first <= layers; first = last + 1)
        {
            last = random.Next(first, Math.Min(layers, first + 3) + 1);
            segments.Add(new DecoderSegment(first, last));
        }

        return [.. segments];
    }

    public static void AssertSame(Step expected, Step actual)
    {
        Assert.Equal(expected.States.Count, actual.States.Count);
        foreach ((float[] one, float[] other) in expected.States.Zip(actual.States))
        {
            double tolerance = 1e-4 * one.Max(Math.Abs);
            for (int at = 0; at < one.Length; at++)
                Assert.Equal(one[at], other[at], tolerance);
        }
    }

    /// <summary>A token, and the hidden states after the segments that ran for it when it was new.</summary>
    internal sealed record Step(int Token, int Exit, List<float[]> States);
}
