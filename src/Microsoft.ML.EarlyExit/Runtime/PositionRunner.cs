using Microsoft.ML.OnnxRuntime;

namespace Microsoft.ML.EarlyExit;

/// <summary>
/// Runs several positions of one slot together through a segment of blocks: causal among themselves, behind the keys and values that the slot has. The attention
/// kernel takes several positions only of a batch of one, so the slot's part of the caches is bound as the cache of such a batch.
/// </summary>
internal sealed class PositionRunner : IDisposable
{
    /// <summary>
    /// Positions of one run; more are run in turn. From about this many on the arithmetic costs more than reading the weights, so longer runs would save little, and
    /// their biases and the scratch entries of cross-attention caches grow with it.
    /// </summary>
    public const int LargestRun = 32;

    // As many as a batch of many slots and layers uses again and again; a binding holds a few KB.
    private const int MostBindings = 1024;

    private readonly ModelSessions _sessions;
    private readonly ExitedStates _states;
    private readonly KeyValueCache?[] _self;
    private readonly KeyValueCache?[] _cross;
    private readonly int _heads;
    private readonly int _width;
    private readonly RunOptions _run;
    private readonly NativeBuffer _hidden;
    private readonly NativeBuffer _hiddenOut;
    private readonly NativeBuffer _selfLength;
    private readonly NativeBuffer _selfCapacity;
    private readonly NativeBuffer _crossLength;
    private readonly NativeBuffer _crossCapacity;
    private readonly OrtValue _selfLengthView;
    private readonly OrtValue _selfCapacityView;
    private readonly OrtValue _crossLengthView;
    private readonly OrtValue _crossCapacityView;
    private readonly Views?[] _views = new Views?[LargestRun + 1];
    private readonly Dictionary<(int FirstLayer, int Slot, int Count), OrtIoBinding> _bindings = [];
    private SelfAttentionBias _bias;
    private int _crossEntries;

    // Made when first needed: rows that never lack a position need none.
    private NativeBuffer? _selfBias;
    private NativeBuffer? _crossBias;
    private (int First, int Count) _selfBiasOf;
    private (int EncoderLength, int Count) _crossBiasOf;

    /// <summary>A runner over caches that may still be null for layers that nothing has reached.</summary>
    public PositionRunner(
        ModelSessions sessions, ExitedStates states, KeyValueCache?[] self, KeyValueCache?[] cross, int heads, int width, SelfAttentionBias bias, int crossEntries,
        RunOptions run)
    {
        _sessions = sessions;
        _states = states;
        _self = self;
        _cross = cross;
        _heads = heads;
        _width = width;
        _bias = bias;
        _crossEntries = crossEntries;
        _run = run;
        _hidden = new NativeBuffer((long)LargestRun * width * sizeof(float));
        _hiddenOut = new NativeBuffer((long)LargestRun * width * sizeof(float));
        _selfLength = new NativeBuffer(sizeof(int));
        _selfCapacity = new NativeBuffer(sizeof(int));
        _crossLength = new NativeBuffer(sizeof(int));
        _crossCapacity = new NativeBuffer(sizeof(int));
        _selfLengthView = BoundTensor.Int32(_selfLength, 1);
        _selfCapacityView = BoundTensor.Int32(_selfCapacity);
        _crossLengthView = BoundTensor.Int32(_crossLength, 1);
        _crossCapacityView = BoundTensor.Int32(_crossCapacity);
    }

    /// <summary>Takes the caches' new sizes; to be called before what it has bound is used again.</summary>
    public void Resize(SelfAttentionBias bias, int crossEntries)
    {
        Clear();
        _bias = bias;
        _crossEntries = crossEntries;
    }

    /// <summary>
    /// Runs the blocks for a slot's positions from <paramref name="first"/> to before <paramref name="end"/>, whose states become those after the last block. The
    /// layers' caches must have the positions before them, and room for <see cref="LargestRun"/> scratch entries after the encoder's positions.
    /// </summary>
    public void Run(DecoderSegment blocks, int slot, int first, int end, int encoderLength)
    {
        InferenceSession session = _sessions.Segment(blocks.FirstLayer, blocks.LastLayer, selectRows: false);
        for (int next = first; next < end; next += LargestRun)
        {
            int count = Math.Min(LargestRun, end - next);
            Span<float> states = _states.States(slot, next, count);
            states.CopyTo(_hidden.Span<float>(0, states.Length));
            SetSelfBias(next, count);
            SetCrossBias(encoderLength, count);
            // Entries including the new ones, less one; the scratch entry before the first makes up for it.
            _selfLength.Span<int>(0, 1)[0] = next + count;
            _selfCapacity.Span<int>(0, 1)[0] = _bias.Entries;
            _crossLength.Span<int>(0, 1)[0] = encoderLength + count;
            _crossCapacity.Span<int>(0, 1)[0] = _crossEntries;
            session.RunWithBinding(_run, Binding(session, blocks, slot, count));
            _hiddenOut.Span<float>(0, states.Length).CopyTo(states);
        }
    }

    public void Dispose()
    {
        Clear();
        foreach (OrtValue view in new[] { _selfLengthView, _selfCapacityView, _crossLengthView, _crossCapacityView })
            view.Dispose();
        foreach (NativeBuffer buffer in new[] { _hidden, _hiddenOut, _selfLength, _selfCapacity, _crossLength, _crossCapacity })
            buffer.Dispose();
    }

    private static void ClearBindings(Dictionary<(int FirstLayer, int Slot, int Count), OrtIoBinding> bindings)
    {
        foreach (OrtIoBinding binding in bindings.Values)
            binding.Dispose();
        bindings.Clear();
    }

    /// <summary>[1, heads, count, entries]: the same in all segments that the positions run through.</summary>
    private void SetSelfBias(int first, int count)
    {
        int entries = _bias.Entries;
        _selfBias ??= new NativeBuffer((long)_heads * LargestRun * entries * sizeof(float));
        if (_selfBiasOf == (first, count))
            return;
        for (int head = 0; head < _heads; head++)
        {
            for (int at = 0; at < count; at++)
                _bias.CopyTo(head, first + at, _selfBias.Span<float>((((long)head * count) + at) * entries, entries));
        }

        _selfBiasOf = (first, count);
    }

    /// <summary>[1, 1, count, entries]: masks what is not an encoder position.</summary>
    private void SetCrossBias(int encoderLength, int count)
    {
        _crossBias ??= new NativeBuffer((long)LargestRun * _crossEntries * sizeof(float));
        if (_crossBiasOf == (encoderLength, count))
            return;
        for (int at = 0; at < count; at++)
        {
            Span<float> bias = _crossBias.Span<float>((long)at * _crossEntries, _crossEntries);
            bias.Fill(GraphContract.Masked);
            bias.Slice(1, encoderLength).Clear();
        }

        _crossBiasOf = (encoderLength, count);
    }

    private OrtIoBinding Binding(InferenceSession session, DecoderSegment blocks, int slot, int count)
    {
        if (_bindings.TryGetValue((blocks.FirstLayer, slot, count), out OrtIoBinding? binding))
            return binding;
        if (_bindings.Count == MostBindings)
            ClearBindings(_bindings);
        Views views = _views[count] ??= new Views(
            BoundTensor.Floats(_hidden, 1, count, _width), BoundTensor.Floats(_hiddenOut, 1, count, _width),
            BoundTensor.Floats(_selfBias!, 1, _heads, count, _bias.Entries), BoundTensor.Floats(_crossBias!, 1, 1, count, _crossEntries));
        binding = session.CreateIoBinding();
        binding.BindInput(GraphContract.Hidden, views.Hidden);
        binding.BindOutput(GraphContract.HiddenOut, views.HiddenOut);
        binding.BindInput(GraphContract.SelfBias, views.SelfBias);
        binding.BindInput(GraphContract.SelfLengths, _selfLengthView);
        binding.BindInput(GraphContract.SelfCapacity, _selfCapacityView);
        binding.BindInput(GraphContract.CrossBias, views.CrossBias);
        binding.BindInput(GraphContract.CrossLengths, _crossLengthView);
        binding.BindInput(GraphContract.CrossCapacity, _crossCapacityView);
        for (int layer = blocks.FirstLayer; layer <= blocks.LastLayer; layer++)
            binding.BindCaches(layer, _self[layer - 1]!, _cross[layer - 1]!, slot);
        _bindings[(blocks.FirstLayer, slot, count)] = binding;
        return binding;
    }

    private void Clear()
    {
        ClearBindings(_bindings);
        foreach (Views? views in _views)
            views?.Dispose();
        Array.Clear(_views);
        _selfBias?.Dispose();
        _crossBias?.Dispose();
        (_selfBias, _crossBias) = (null, null);
        (_selfBiasOf, _crossBiasOf) = (default, default);
    }

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
