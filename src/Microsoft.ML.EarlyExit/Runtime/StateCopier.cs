using System.Numerics;
using Microsoft.ML.EarlyExit.Model;
using Microsoft.ML.EarlyExit.Model.Bundle;
using Microsoft.ML.OnnxRuntime;

namespace Microsoft.ML.EarlyExit.Runtime;

/// <summary>
/// <see cref="StatePropagation.StateCopy"/>: computes the keys and values that a layer lacks from the states with which tokens exited, for all rows that reach
/// it, in as few products as they take.
/// </summary>
internal sealed class StateCopier : IStatePropagator
{
    private const int LargestRun = 256;

    private readonly ModelSessions _sessions;
    private readonly IReadOnlyList<DecoderSegment> _segments;
    private readonly DecoderMemory _memory;
    private readonly BlockRunner _blocks;
    private readonly ExitedStates _states;
    private readonly int _width;
    private readonly int _keysValuesWidth;
    private readonly BoundBuffer<float> _input;
    private readonly BoundBuffer<float> _output;
    private readonly CacheEntries? _entries;
    private readonly (int Slot, int Position)[] _pending = new (int Slot, int Position)[LargestRun];
    private readonly Dictionary<(int Layer, int Count), OrtIoBinding> _bindings = [];
    private readonly RunOptions _run;

    public StateCopier(
        ModelSessions sessions, IReadOnlyList<DecoderSegment> segments, DecoderMemory memory, BlockRunner blocks, T5Configuration configuration, int headWidth,
        bool onDevice, RunOptions run)
    {
        _sessions = sessions;
        _segments = segments;
        _memory = memory;
        _blocks = blocks;
        _states = memory.States!;
        _width = configuration.ModelDimension;
        _keysValuesWidth = 2 * configuration.HeadCount * headWidth;
        _run = run;
        _input = new BoundBuffer<float>(LargestRun, _width);
        _output = new BoundBuffer<float>(LargestRun, _keysValuesWidth);
        _entries = onDevice ? new CacheEntries(LargestRun, configuration.HeadCount) : null;
    }

    public void BringUp(int segment, ReadOnlySpan<int> slots)
    {
        for (int layer = _segments[segment].FirstLayer; layer <= _segments[segment].LastLayer; layer++)
            BringUpLayer(layer, slots);
    }

    public void Run(int segment, ReadOnlySpan<int> slots)
    {
        BringUp(segment, slots);
        _blocks.Run(segment, slots);
    }

    /// <summary>Nothing here is bound to memory that moves.</summary>
    public void Unbind()
    {
    }

    public void Dispose()
    {
        foreach (OrtIoBinding binding in _bindings.Values)
            binding.Dispose();
        _input.Dispose();
        _output.Dispose();
        _entries?.Dispose();
    }

    private void BringUpLayer(int layer, ReadOnlySpan<int> slots)
    {
        KeyValueCache cache = _memory.Self.Cache(layer);
        int count = 0;
        foreach (int slot in slots)
        {
            int end = _memory.Positions[slot];
            _memory.RecordCopies(layer, slot);
            for (int position = _states.FirstMissing(layer, slot); position < end; position++)
            {
                _states.State(slot, position).CopyTo(_input.Span((long)count * _width, _width));
                _pending[count++] = (slot, position);
                if (count < LargestRun)
                    continue;
                Store(layer, cache, count);
                count = 0;
            }

            _states.Filled(layer, slot, end);
        }

        if (count > 0)
            Store(layer, cache, count);
    }

    private void Store(int layer, KeyValueCache cache, int count)
    {
        if (_entries is not null)
        {
            for (int index = 0; index < count; index++)
                _entries.Set(index, _pending[index].Slot, _pending[index].Position + 1);
            _sessions.StateKeysValues(layer, onDevice: true).StoreKeysValues(_run, _input.First(count), _entries.First(count), cache);
            return;
        }

        // Rounded up, so that few shapes occur; the rows beyond are computed for nothing.
        int rows = (int)BitOperations.RoundUpToPowerOf2((uint)count);
        InferenceSession session = _sessions.StateKeysValues(layer);
        if (!_bindings.TryGetValue((layer, rows), out OrtIoBinding? binding))
            _bindings[(layer, rows)] = binding = Bind(session, rows);
        session.RunWithBinding(_run, binding);
        for (int index = 0; index < count; index++)
            cache.Store(_pending[index].Slot, _pending[index].Position, _output.Span((long)index * _keysValuesWidth, _keysValuesWidth));
    }

    private OrtIoBinding Bind(InferenceSession session, int rows)
    {
        OrtIoBinding binding = session.CreateIoBinding();
        binding.BindInput(GraphContract.Hidden, _input.First(rows));
        binding.BindOutput(GraphContract.KeysValues, _output.First(rows));
        return binding;
    }
}
