using Microsoft.ML.EarlyExit.Model;
using Microsoft.ML.EarlyExit.Model.Bundle;
using Microsoft.ML.OnnxRuntime;

namespace Microsoft.ML.EarlyExit.Runtime;

/// <summary>
/// <see cref="StatePropagation.ParallelDecoding"/> on a device, row after row: runs several positions of one slot together through a segment of blocks, causal
/// among themselves, behind the keys and values that the slot has. The slot's part of the caches is bound as the cache of a batch of one.
/// </summary>
internal sealed class PositionRunner : IStatePropagator
{
    /// <summary>
    /// Positions of one run; more are run in turn. From about this many on the arithmetic costs more than reading the weights, so longer runs would save
    /// little, and their biases grow with it.
    /// </summary>
    private const int LargestRun = 32;

    private readonly ModelSessions _sessions;
    private readonly IReadOnlyList<DecoderSegment> _segments;
    private readonly DecoderMemory _memory;
    private readonly BlockRunner _blocks;
    private readonly ExitedStates _states;
    private readonly int _heads;
    private readonly int _width;
    private readonly RunOptions _run;
    private readonly int[] _together;
    private readonly BoundBuffer<float> _hidden;
    private readonly BoundBuffer<float> _hiddenOut;
    private readonly CacheEntries _entries;
    private readonly BoundBuffer<bool> _active = new(1, 1, 1);
    private readonly Views?[] _views = new Views?[LargestRun + 1];

    // Made when first needed: rows that never lack a position need none.
    private BoundBuffer<float>? _selfBias;
    private BoundBuffer<float>? _crossBias;
    private (int First, int Count) _selfBiasOf;
    private (int EncoderLength, int Count) _crossBiasOf;

    public PositionRunner(
        ModelSessions sessions, IReadOnlyList<DecoderSegment> segments, DecoderMemory memory, BlockRunner blocks, T5Configuration configuration,
        RunOptions run)
    {
        _sessions = sessions;
        _segments = segments;
        _memory = memory;
        _blocks = blocks;
        _states = memory.States!;
        _heads = configuration.HeadCount;
        _width = configuration.ModelDimension;
        _run = run;
        _together = new int[memory.SlotCount];
        _hidden = new BoundBuffer<float>(1, LargestRun, _width);
        _hiddenOut = new BoundBuffer<float>(1, LargestRun, _width);
        _entries = new CacheEntries(LargestRun, _heads);
        _active.Values[0] = true;
    }

    public void BringUp(int segment, ReadOnlySpan<int> slots)
    {
        foreach (int slot in slots)
            RunPositions(_segments[segment], slot, _memory.Positions[slot]);
    }

    /// <summary>
    /// Runs the rows that lack earlier positions, each with these, and leaves their hidden states with the others of their slots; then the other rows together.
    /// </summary>
    public void Run(int segment, ReadOnlySpan<int> slots)
    {
        DecoderSegment blocks = _segments[segment];
        int together = 0;
        for (int row = 0; row < slots.Length; row++)
        {
            int slot = slots[row];
            int position = _memory.Positions[slot];
            if (_states.FirstMissing(blocks.FirstLayer, slot) < position)
            {
                _blocks.Hidden(row).CopyTo(_states.State(slot, position));
                RunPositions(blocks, slot, position + 1);
                continue;
            }

            if (together != row)
                _blocks.Hidden(row).CopyTo(_blocks.Hidden(together));
            _together[together++] = slot;
        }

        if (together > 0)
            _blocks.Run(segment, _together.AsSpan(0, together));
        else
            _blocks.Flip();
        if (together < slots.Length)
            Spread(slots, together);
    }

    public void Unbind()
    {
        foreach (Views? views in _views)
            views?.Dispose();
        Array.Clear(_views);
        _selfBias?.Dispose();
        _crossBias?.Dispose();
        (_selfBias, _crossBias) = (null, null);
        (_selfBiasOf, _crossBiasOf) = (default, default);
    }

    public void Dispose()
    {
        Unbind();
        foreach (IDisposable buffer in new IDisposable[] { _hidden, _hiddenOut, _entries, _active })
            buffer.Dispose();
    }

    /// <summary>Gives every row its place again: those that ran together are the first ones, the others lie with their slots' states.</summary>
    private void Spread(ReadOnlySpan<int> slots, int together)
    {
        // From the last on: no row is overwritten before it has moved.
        for (int row = slots.Length - 1; row >= 0; row--)
        {
            int slot = slots[row];
            if (together > 0 && _together[together - 1] == slot)
                _blocks.Hidden(--together).CopyTo(_blocks.Hidden(row));
            else
                _states.State(slot, _memory.Positions[slot]).CopyTo(_blocks.Hidden(row));
        }
    }

    /// <summary>
    /// Runs the blocks for the positions that they lack of a slot, up to before <paramref name="end"/>, whose states become those after the last block; all
    /// layers of a segment lack the same.
    /// </summary>
    private void RunPositions(DecoderSegment blocks, int slot, int end)
    {
        int first = _states.FirstMissing(blocks.FirstLayer, slot);
        int encoderLength = _memory.Cross.EncoderLength(slot);
        InferenceSession session = _sessions.Segment(blocks, onDevice: true);
        for (int next = first; next < end; next += LargestRun)
        {
            int count = Math.Min(LargestRun, end - next);
            Span<float> states = _states.States(slot, next, count);
            states.CopyTo(_hidden.Span(0, states.Length));
            SetSelfBias(next, count);
            SetCrossBias(encoderLength, count);
            Run(session, blocks, slot, next, count);
            _hiddenOut.Span(0, states.Length).CopyTo(states);
        }

        _memory.RecordRun(blocks, slot, first, end);
    }

    /// <summary>[1, heads, count, entries]: the same in all segments that the positions run through.</summary>
    private void SetSelfBias(int first, int count)
    {
        SelfAttentionBias bias = _memory.Self.Bias;
        _selfBias ??= new BoundBuffer<float>(_heads, LargestRun, bias.Entries);
        if (_selfBiasOf == (first, count))
            return;
        for (int head = 0; head < _heads; head++)
        {
            for (int at = 0; at < count; at++)
                bias.CopyTo(head, first + at, _selfBias.Span((((long)head * count) + at) * bias.Entries, bias.Entries));
        }

        _selfBiasOf = (first, count);
    }

    /// <summary>[1, 1, count, entries]: masks what is not an encoder position.</summary>
    private void SetCrossBias(int encoderLength, int count)
    {
        int entries = _memory.Cross.Entries;
        _crossBias ??= new BoundBuffer<float>(LargestRun, entries);
        if (_crossBiasOf == (encoderLength, count))
            return;
        for (int at = 0; at < count; at++)
        {
            Span<float> bias = _crossBias.Span((long)at * entries, entries);
            bias.Fill(GraphContract.Masked);
            bias.Slice(1, encoderLength).Clear();
        }

        _crossBiasOf = (encoderLength, count);
    }

    // Binding copies inputs to the device, so every run binds anew.
    private void Run(InferenceSession session, DecoderSegment blocks, int slot, int first, int count)
    {
        // The slot's part of the caches is the first and only one.
        for (int at = 0; at < count; at++)
            _entries.Set(at, 0, first + at + 1);
        Views views = ViewsOf(count);
        using OrtValue entries = _entries.Shaped(1, count, _heads, 3);
        using OrtIoBinding binding = session.CreateIoBinding();
        binding.BindInput(GraphContract.Hidden, views.Hidden);
        binding.BindInput(DeviceGraph.Active, _active.View);
        binding.BindInput(DeviceGraph.SelfEntries, entries);
        binding.BindInput(GraphContract.SelfBias, views.SelfBias);
        binding.BindInput(GraphContract.CrossBias, views.CrossBias);
        binding.BindOutput(DeviceGraph.HiddenHost, views.HiddenOut);
        for (int layer = blocks.FirstLayer; layer <= blocks.LastLayer; layer++)
            binding.BindCaches(layer, _memory.Self.Cache(layer), _memory.Cross.Cache(layer), slot);
        session.RunSynchronized(_run, binding);
    }

    private Views ViewsOf(int count) => _views[count] ??= new Views(
        _hidden.Shaped(1, count, _width), _hiddenOut.Shaped(1, count, _width),
        _selfBias!.Shaped(1, _heads, count, _memory.Self.Bias.Entries), _crossBias!.Shaped(1, 1, count, _memory.Cross.Entries));

    private sealed record Views(OrtValue Hidden, OrtValue HiddenOut, OrtValue SelfBias, OrtValue CrossBias) : IDisposable
    {
        public void Dispose()
        {
            Hidden.Dispose();
            HiddenOut.Dispose();
            SelfBias.Dispose();
            CrossBias.Dispose();
        }
    }
}
