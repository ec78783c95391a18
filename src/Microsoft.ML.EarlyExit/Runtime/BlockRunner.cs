using Microsoft.ML.EarlyExit.Model;
using Microsoft.ML.EarlyExit.Model.Bundle;
using Microsoft.ML.OnnxRuntime;

namespace Microsoft.ML.EarlyExit.Runtime;

/// <summary>
/// Runs segments of blocks for one token of each of some slots: hidden states, what the kernels take beside them, and the bindings of both and of the caches.
/// The other slots are idle, which costs next to nothing.
/// </summary>
internal sealed class BlockRunner : IDisposable
{
    private readonly ModelSessions _sessions;
    private readonly IReadOnlyList<DecoderSegment> _segments;
    private readonly DecoderMemory _memory;
    private readonly int _width;
    private readonly RunOptions _run;

    // Hidden states go back and forth between two buffers, one segment at a time.
    private readonly BoundBuffer<float>[] _hidden;
    private readonly BoundBuffer<long> _rowSlots;
    private readonly BoundBuffer<long> _slotRows;
    private readonly BoundBuffer<int> _selfLengths;
    private readonly BoundBuffer<int> _crossLengths;
    private readonly OrtIoBinding?[][] _bindings;
    private readonly DeviceBlocks? _device;
    private int _current;

    public BlockRunner(
        ModelSessions sessions, IReadOnlyList<DecoderSegment> segments, DecoderMemory memory, T5Configuration configuration, DeviceMemory? device,
        RunOptions run)
    {
        int slots = memory.SlotCount;
        int width = configuration.ModelDimension;
        _sessions = sessions;
        _segments = segments;
        _memory = memory;
        _width = width;
        _run = run;
        _hidden = [new BoundBuffer<float>(slots, 1, width), new BoundBuffer<float>(slots, 1, width)];
        _rowSlots = new BoundBuffer<long>(slots);
        _slotRows = new BoundBuffer<long>(slots);
        _selfLengths = new BoundBuffer<int>(slots);
        _crossLengths = new BoundBuffer<int>(slots);
        _bindings = [.. segments.Select(_ => new OrtIoBinding?[slots + 1])];
        _device = device is null ? null : new DeviceBlocks(sessions, device, segments.Count, memory, configuration, run);
    }

    /// <summary>Begins a token: the next segment that runs is the first.</summary>
    public void Begin()
    {
        _current = 0;
        _device?.Invalidate();
    }

    /// <summary>The hidden state of a row after the last segment that ran.</summary>
    public Memory<float> HiddenMemory(int row) => _hidden[_current].Floats((long)row * _width, _width);

    /// <summary>As <see cref="HiddenMemory"/>, not to be kept.</summary>
    public Span<float> Hidden(int row) => _hidden[_current].Span((long)row * _width, _width);

    /// <summary>Where the hidden state of a row after the next segment belongs.</summary>
    public Span<float> NextHidden(int row) => _hidden[1 - _current].Span((long)row * _width, _width);

    /// <summary>Makes <see cref="NextHidden"/> the hidden states: a segment has run.</summary>
    public void Flip() => _current = 1 - _current;

    /// <summary>
    /// Runs a segment for the given slots, whose hidden states are the first rows in that order. Their caches must have all earlier positions.
    /// </summary>
    public void Run(int segment, ReadOnlySpan<int> slots)
    {
        DecoderSegment blocks = _segments[segment];
        if (_device is not null)
        {
            _device.Run(segment, blocks, slots, _current, _hidden[_current], _hidden[1 - _current]);
        }
        else
        {
            Place(slots);
            InferenceSession session = _sessions.Segment(blocks, _memory.SlotCount > 1 ? SegmentForm.Slots : SegmentForm.OneSlot);
            session.RunWithBinding(_run, _bindings[segment][slots.Length] ??= Bind(session, blocks, slots.Length));
        }

        foreach (int slot in slots)
            _memory.RecordRun(blocks, slot, _memory.Positions[slot], _memory.Positions[slot] + 1);
        Flip();
    }

    /// <summary>Forgets what is bound: to be called before memory moves.</summary>
    public void Unbind()
    {
        _device?.Unbind();
        foreach (OrtIoBinding?[] bindings in _bindings)
        {
            foreach (OrtIoBinding? binding in bindings)
                binding?.Dispose();
            Array.Clear(bindings);
        }
    }

    public void Dispose()
    {
        Unbind();
        _device?.Dispose();
        foreach (IDisposable buffer in new IDisposable[] { _hidden[0], _hidden[1], _rowSlots, _slotRows, _selfLengths, _crossLengths })
            buffer.Dispose();
    }

    /// <summary>Writes which slots run, at which lengths, and which row is in which slot.</summary>
    private void Place(ReadOnlySpan<int> slots)
    {
        Span<int> selfLengths = _selfLengths.Values;
        Span<int> crossLengths = _crossLengths.Values;
        Span<long> rowSlots = _rowSlots.Values;
        Span<long> slotRows = _slotRows.Values;
        // Idle slots point at row 0 with length 0; the kernel's write for them lands in scratch entry 0, which is masked.
        selfLengths.Clear();
        crossLengths.Clear();
        slotRows.Clear();
        for (int row = 0; row < slots.Length; row++)
        {
            int slot = slots[row];
            selfLengths[slot] = _memory.Positions[slot] + 1;
            crossLengths[slot] = _memory.Cross.EncoderLength(slot) + 1;
            rowSlots[row] = slot;
            slotRows[slot] = row;
        }
    }

    private OrtIoBinding Bind(InferenceSession session, DecoderSegment blocks, int rows)
    {
        OrtIoBinding binding = session.CreateIoBinding();
        // Segments alternate strictly, so a segment always reads the same one of the two buffers.
        binding.BindInput(GraphContract.Hidden, _hidden[_current].First(rows));
        binding.BindOutput(GraphContract.HiddenOut, _hidden[1 - _current].First(rows));
        if (_memory.SlotCount > 1)
        {
            binding.BindInput(GraphContract.RowSlots, _rowSlots.First(rows));
            binding.BindInput(GraphContract.SlotRows, _slotRows.View);
        }

        binding.BindInput(GraphContract.SelfBias, _memory.Self.Bias.View);
        binding.BindInput(GraphContract.SelfLengths, _selfLengths.View);
        binding.BindInput(GraphContract.SelfCapacity, _memory.Self.EntriesView);
        binding.BindInput(GraphContract.CrossBias, _memory.Cross.Bias);
        binding.BindInput(GraphContract.CrossLengths, _crossLengths.View);
        binding.BindInput(GraphContract.CrossCapacity, _memory.Cross.EntriesView);
        for (int layer = blocks.FirstLayer; layer <= blocks.LastLayer; layer++)
            binding.BindCaches(layer, _memory.Self.Cache(layer), _memory.Cross.Cache(layer), slot: null);

        return binding;
    }
}
