using Microsoft.ML.EarlyExit.Model;
using Microsoft.ML.EarlyExit.Model.Bundle;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.EarlyExit.Runtime;

/// <summary>
/// Runs segments of blocks on a device for one token of each of some slots. The residual stream stays there by slot, so that rows that exit need not move; a
/// copy of it comes to the host after every segment. Nothing else crosses but what has changed: embeddings, biases, and where keys and values go.
/// </summary>
internal sealed class DeviceBlocks : IDisposable
{
    private readonly ModelSessions _sessions;
    private readonly DeviceMemory _device;
    private readonly DecoderMemory _memory;
    private readonly int _width;
    private readonly RunOptions _run;
    private readonly List<IDisposable> _owned = [];
    private readonly DeviceTensor[] _hidden;
    private readonly BoundBuffer<float> _given;
    private readonly BoundBuffer<float> _taken;
    private readonly BoundBuffer<bool> _active;
    private readonly CacheEntries _entries;
    private readonly OrtValue _entriesView;
    private readonly DeviceCopy _activeCopy;
    private readonly DeviceCopy _entriesCopy;
    private readonly OrtIoBinding?[] _bindings;
    private bool _isCurrent;

    public DeviceBlocks(ModelSessions sessions, DeviceMemory device, int segments, DecoderMemory memory, T5Configuration configuration, RunOptions run)
    {
        int slots = memory.SlotCount;
        _sessions = sessions;
        _device = device;
        _memory = memory;
        _width = configuration.ModelDimension;
        _run = run;
        _bindings = new OrtIoBinding?[segments];
        try
        {
            _hidden =
            [
                Own(device.Allocate(TensorElementType.Float, slots, 1, _width)), Own(device.Allocate(TensorElementType.Float, slots, 1, _width)),
            ];
            _given = Own(new BoundBuffer<float>(slots, 1, _width));
            _taken = Own(new BoundBuffer<float>(slots, 1, _width));
            _active = Own(new BoundBuffer<bool>(slots, 1, 1));
            _entries = Own(new CacheEntries(slots, configuration.HeadCount));
            _entriesView = Own(_entries.Shaped(slots, 1, configuration.HeadCount, 3));
            _activeCopy = Own(new DeviceCopy(device, _active.View));
            _entriesCopy = Own(new DeviceCopy(device, _entriesView));
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>
    /// Says that the host's states are no more those of the device: a token begins. Within one they are: rows only move on the host, and a row that runs
    /// otherwise, with earlier positions that it lacks, lacks these in all deeper segments too.
    /// </summary>
    public void Invalidate() => _isCurrent = false;

    /// <summary>Runs a segment for the given slots.</summary>
    /// <param name="index">The segment's index.</param>
    /// <param name="blocks">The segment.</param>
    /// <param name="slots">The slots.</param>
    /// <param name="current">Which of the two places the states are in, 0 or 1; they then are in the other.</param>
    /// <param name="states">The states before, in the order of the slots.</param>
    /// <param name="next">Takes the states after.</param>
    public void Run(int index, DecoderSegment blocks, ReadOnlySpan<int> slots, int current, BoundBuffer<float> states, BoundBuffer<float> next)
    {
        Place(slots);
        if (!_isCurrent)
        {
            for (int row = 0; row < slots.Length; row++)
                states.Span((long)row * _width, _width).CopyTo(_given.Span((long)slots[row] * _width, _width));
            _device.Copy(_given.View, _hidden[current].Value);
        }

        // Reading them brings them up to date; bindings have the same values.
        _ = (_activeCopy.Value, _entriesCopy.Value, _memory.Self.Bias.OnDevice, _memory.Cross.BiasOnDevice);
        InferenceSession session = _sessions.Segment(blocks, onDevice: true);
        session.RunSynchronized(_run, _bindings[index] ??= Bind(session, blocks, current));
        _isCurrent = true;
        for (int row = 0; row < slots.Length; row++)
            _taken.Span((long)slots[row] * _width, _width).CopyTo(next.Span((long)row * _width, _width));
    }

    /// <summary>Forgets what is bound: to be called before memory moves.</summary>
    public void Unbind()
    {
        foreach (OrtIoBinding? binding in _bindings)
            binding?.Dispose();
        Array.Clear(_bindings);
    }

    public void Dispose()
    {
        Unbind();
        for (int index = _owned.Count - 1; index >= 0; index--)
            _owned[index].Dispose();
    }

    private T Own<T>(T memory)
        where T : IDisposable
    {
        _owned.Add(memory);
        return memory;
    }

    private void Place(ReadOnlySpan<int> slots)
    {
        bool moved = false;
        bool changed = false;
        Span<bool> active = _active.Values;
        for (int slot = 0; slot < active.Length; slot++)
        {
            bool runs = slots.Contains(slot);
            moved |= _entries.Set(slot, slot, runs ? _memory.Positions[slot] + 1 : 0);
            changed |= active[slot] != runs;
            active[slot] = runs;
        }

        if (moved)
            _entriesCopy.Invalidate();
        if (changed)
            _activeCopy.Invalidate();
    }

    private OrtIoBinding Bind(InferenceSession session, DecoderSegment blocks, int current)
    {
        OrtIoBinding binding = session.CreateIoBinding();
        binding.BindInput(GraphContract.Hidden, _hidden[current].Value);
        binding.BindInput(DeviceGraph.Active, _activeCopy.Value);
        binding.BindInput(DeviceGraph.SelfEntries, _entriesCopy.Value);
        binding.BindInput(GraphContract.SelfBias, _memory.Self.Bias.OnDevice);
        binding.BindInput(GraphContract.CrossBias, _memory.Cross.BiasOnDevice);
        binding.BindOutput(GraphContract.HiddenOut, _hidden[1 - current].Value);
        binding.BindOutput(DeviceGraph.HiddenHost, _taken.View);
        for (int layer = blocks.FirstLayer; layer <= blocks.LastLayer; layer++)
            binding.BindCaches(layer, _memory.Self.Cache(layer), _memory.Cross.Cache(layer), slot: null);
        return binding;
    }
}
