using Microsoft.ML.EarlyExit.Model;
using Microsoft.ML.OnnxRuntime;

namespace Microsoft.ML.EarlyExit.Runtime;

/// <summary>Runs segments of blocks for one token of each of some slots, and has their hidden states.</summary>
internal sealed class BlockRunner : IDisposable
{
    private readonly IReadOnlyList<DecoderSegment> _segments;
    private readonly DecoderMemory _memory;
    private readonly int _width;

    // Hidden states go back and forth between two buffers, one segment at a time.
    private readonly BoundBuffer<float>[] _hidden;
    private readonly PackedBlocks? _packed;
    private readonly DeviceBlocks? _device;
    private int _current;

    public BlockRunner(
        ModelSessions sessions, IReadOnlyList<DecoderSegment> segments, DecoderMemory memory, T5Configuration configuration, int headWidth,
        DeviceMemory? device, RunOptions run)
    {
        int slots = memory.SlotCount;
        _segments = segments;
        _memory = memory;
        _width = configuration.ModelDimension;
        _hidden = [new BoundBuffer<float>(slots, 1, _width), new BoundBuffer<float>(slots, 1, _width)];
        if (device is null)
            _packed = new PackedBlocks(sessions, memory, configuration, headWidth, slots, run);
        else
            _device = new DeviceBlocks(sessions, device, segments.Count, memory, configuration, run);
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
        // Segments alternate strictly, so a segment always reads the same one of the two buffers.
        BoundBuffer<float> hidden = _hidden[_current], next = _hidden[1 - _current];
        if (_device is not null)
        {
            _device.Run(segment, blocks, slots, _current, hidden, next);
        }
        else
        {
            foreach (int slot in slots)
                _packed!.Add(1, slot, _memory.Positions[slot]);
            _packed!.Run(blocks, hidden, next);
        }

        foreach (int slot in slots)
            _memory.RecordRun(blocks, slot, _memory.Positions[slot], _memory.Positions[slot] + 1);
        Flip();
    }

    /// <summary>Forgets what is bound: to be called before memory moves.</summary>
    public void Unbind() => _device?.Unbind();

    public void Dispose()
    {
        _packed?.Dispose();
        _device?.Dispose();
        _hidden[0].Dispose();
        _hidden[1].Dispose();
    }
}
