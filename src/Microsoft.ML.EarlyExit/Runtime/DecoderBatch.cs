using Microsoft.ML.OnnxRuntime;

namespace Microsoft.ML.EarlyExit;

/// <summary>
/// The decoder's side of one batch: caches, hidden states and bindings. Every slot is at its own position. Any of them can be run through a segment of blocks while
/// the others rest, which costs next to nothing, and a slot whose row has ended takes another. Nothing is allocated per token once the shapes that occur have
/// occurred.
/// </summary>
internal sealed unsafe class DecoderBatch : IDisposable
{
    private const int FirstCapacity = 64;

    private readonly ModelBundle _bundle;
    private readonly ModelSessions _sessions;
    private readonly EncodedInput?[] _inputs;
    private readonly IReadOnlyList<DecoderSegment> _segments;
    private readonly int _maxPositions;
    private readonly int _layers;
    private readonly int _heads;
    private readonly int _headWidth;
    private readonly int _width;
    private readonly int _slots;
    private readonly OperationCosts _costs;
    private readonly RunOptions _run;
    private readonly List<IDisposable> _owned = [];

    // Hidden states go back and forth between two buffers, one segment at a time.
    private readonly NativeBuffer[] _hidden;
    private readonly OrtValue?[][] _hiddenViews;
    private readonly NativeBuffer _rowSlots;
    private readonly NativeBuffer _slotRows;
    private readonly NativeBuffer _selfLengths;
    private readonly NativeBuffer _selfCapacity;
    private readonly NativeBuffer _crossLengths;
    private readonly NativeBuffer _crossCapacity;
    private readonly OrtValue?[] _rowSlotsViews;
    private readonly OrtValue _slotRowsView;
    private readonly OrtValue _selfLengthsView;
    private readonly OrtValue _selfCapacityView;
    private readonly OrtValue _crossLengthsView;
    private readonly OrtValue _crossCapacityView;

    private readonly int[] _positions;
    private readonly int[] _crossLayers;
    private readonly OperationCounts[] _operations;
    private readonly KeyValueCache?[] _self;
    private readonly KeyValueCache?[] _cross;
    private readonly OrtIoBinding?[][] _bindings;
    private readonly int[] _together;
    private readonly ExitedStates? _states;

    // One of the two, by the kind of state propagation; none where no token can leave early.
    private readonly StateCopier? _copier;
    private readonly PositionRunner? _positionRunner;
    private SelfAttentionBias _selfBias;
    private NativeBuffer _crossBias;
    private OrtValue _crossBiasView;
    private int _capacity;
    private int _crossEntries;
    private int _current;

    /// <summary>A batch of empty slots, for rows of at most <paramref name="maxPositions"/> positions.</summary>
    public DecoderBatch(
        ModelBundle bundle, ModelSessions sessions, int slots, IReadOnlyList<DecoderSegment> segments, StatePropagation propagation, int maxPositions,
        OperationCosts costs, RunOptions run)
    {
        T5Configuration configuration = bundle.Configuration;
        _bundle = bundle;
        _sessions = sessions;
        _inputs = new EncodedInput?[slots];
        _segments = segments;
        _costs = costs;
        _run = run;
        _maxPositions = maxPositions;
        _layers = configuration.DecoderLayerCount;
        _heads = configuration.HeadCount;
        _headWidth = bundle.Manifest.GraphHeadDimension;
        _width = configuration.ModelDimension;
        _slots = slots;
        _capacity = Math.Min(maxPositions, FirstCapacity);

        _hidden = [Own(Floats((long)_slots * _width)), Own(Floats((long)_slots * _width))];
        _hiddenViews = [new OrtValue?[_slots + 1], new OrtValue?[_slots + 1]];
        _rowSlots = Own(new NativeBuffer(_slots * sizeof(long)));
        _slotRows = Own(new NativeBuffer(_slots * sizeof(long)));
        _selfLengths = Own(new NativeBuffer(_slots * sizeof(int)));
        _selfCapacity = Own(new NativeBuffer(sizeof(int)));
        _crossLengths = Own(new NativeBuffer(_slots * sizeof(int)));
        _crossCapacity = Own(new NativeBuffer(sizeof(int)));
        _rowSlotsViews = new OrtValue?[_slots + 1];
        _slotRowsView = Own(BoundTensor.Int64(_slotRows, _slots));
        _selfLengthsView = Own(BoundTensor.Int32(_selfLengths, _slots));
        _selfCapacityView = Own(BoundTensor.Int32(_selfCapacity));
        _crossLengthsView = Own(BoundTensor.Int32(_crossLengths, _slots));
        _crossCapacityView = Own(BoundTensor.Int32(_crossCapacity));

        _positions = new int[_slots];
        _crossLayers = new int[_slots];
        _operations = new OperationCounts[_slots];
        _self = new KeyValueCache?[_layers];
        _cross = new KeyValueCache?[_layers];
        _bindings = [.. segments.Select(_ => new OrtIoBinding?[_slots + 1])];
        _together = new int[_slots];
        _selfBias = CreateSelfBias();
        (_crossBias, _crossBiasView) = CreateCrossBias(FirstCapacity);
        if (segments.Count == 1)
            return;
        _states = Own(new ExitedStates(_slots, _layers, _width, _capacity));
        if (propagation == StatePropagation.ParallelDecoding)
            _positionRunner = new PositionRunner(sessions, _states, _self, _cross, _heads, _width, _selfBias, _crossEntries, run);
        else
            _copier = Own(new StateCopier(sessions, _states, _width, KeysValuesWidth, run));
    }

    private int KeysValuesWidth => 2 * _heads * _headWidth;

    /// <summary>Puts a row at its beginning into a slot whose row, if it had one, has ended.</summary>
    public void Admit(int slot, EncodedInput input)
    {
        _inputs[slot] = input;
        _positions[slot] = 0;
        _crossLayers[slot] = 0;
        _operations[slot] = default;
        _states?.Forget(slot, 0);
        // Scratch before and after a slot's encoder positions, after them as much as positions run at once: see GraphContract.
        int entries = input.Length + 1 + (_positionRunner is null ? 1 : PositionRunner.LargestRun);
        if (entries > _crossEntries)
            GrowCross(Math.Max(entries, 2 * _crossEntries));
        else
            SetCrossBias(slot);
    }

    /// <summary>Begins a token: row i of the hidden states becomes the embedding of <paramref name="tokens"/>[i] in slot <paramref name="slots"/>[i].</summary>
    public void Embed(ReadOnlySpan<int> slots, ReadOnlySpan<int> tokens)
    {
        _current = 0;
        float* embedding = _bundle.TensorData(_bundle.Manifest.TensorNames.Embedding);
        for (int row = 0; row < slots.Length; row++)
        {
            if (_positions[slots[row]] == _capacity)
                Grow(Math.Min(_maxPositions, 2 * _capacity));
            new ReadOnlySpan<float>(embedding + ((long)tokens[row] * _width), _width).CopyTo(Hidden(row));
            _selfBias.Set(slots[row], _positions[slots[row]]);
        }
    }

    /// <summary>The hidden state of a row after the last segment that ran.</summary>
    public Memory<float> HiddenMemory(int row) => _hidden[_current].Floats((long)row * _width, _width);

    /// <summary>As <see cref="HiddenMemory"/>, not to be kept.</summary>
    public Span<float> Hidden(int row) => _hidden[_current].Span<float>((long)row * _width, _width);

    /// <summary>The hidden states of the first rows, one after the other.</summary>
    public Span<float> Hidden(int firstRow, int count) => _hidden[_current].Span<float>((long)firstRow * _width, count * _width);

    /// <summary>
    /// Runs a segment for the given slots, whose hidden states are the first rows in that order. Earlier tokens of theirs that have left before it get their keys and
    /// values there.
    /// </summary>
    public void Run(int segment, ReadOnlySpan<int> slots)
    {
        Reach(segment, slots);
        ReadOnlySpan<int> together = slots;
        if (_positionRunner is not null)
            together = RunWithEarlierPositions(segment, slots);
        else if (_copier is not null)
            CopyStates(segment, slots);

        if (together.Length > 0)
            RunTogether(segment, together);
        _current = 1 - _current;
        if (together.Length < slots.Length)
            Spread(slots, together.Length);
    }

    /// <summary>
    /// Runs the blocks that tokens of a slot have left before, for these tokens and without a new one, segment by segment to the last: what a self-speculation
    /// verifies its drafts with. Between two tokens, and only with <see cref="StatePropagation.ParallelDecoding"/>.
    /// </summary>
    /// <returns>
    /// The first position that had left early, or the slot's length where none had. <see cref="States"/> has the hidden states after the last block from there on.
    /// </returns>
    public int RunPending(int slot)
    {
        int end = _positions[slot];
        int first = end;
        // No token can have left before the first segment's end.
        for (int segment = 1; segment < _segments.Count; segment++)
        {
            int missing = _states!.FirstMissing(_segments[segment].FirstLayer, slot);
            if (missing >= end)
                continue;
            // Deeper layers lack the positions that shallower ones lack, and maybe some before them.
            first = Math.Min(first, missing);
            Reach(segment, new ReadOnlySpan<int>(in slot));
            RunPositions(segment, slot, end);
        }

        return first;
    }

    /// <summary>
    /// The hidden states of a slot's positions from <paramref name="first"/> on, one after the other, after the last segment that ran for them: of tokens that left
    /// early, and of the current one where it ran together with such.
    /// </summary>
    public Span<float> States(int slot, int first, int count) => _states!.States(slot, first, count);

    /// <summary>The positions of a slot's row so far.</summary>
    public int Length(int slot) => _positions[slot];

    /// <summary>Forgets a slot's positions from <paramref name="length"/> on: the next token is at that position. Between two tokens.</summary>
    public void RollBack(int slot, int length)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(length, _positions[slot]);
        // What the caches hold beyond is masked, and later tokens write over it.
        _positions[slot] = length;
        _states?.Forget(slot, length);
    }

    /// <summary>The operations done for a slot's row since they were last taken.</summary>
    public OperationCounts TakeOperations(int slot)
    {
        OperationCounts taken = _operations[slot];
        _operations[slot] = default;
        return taken;
    }

    /// <summary>
    /// Ends a slot's token; <paramref name="leavesEarly"/>: deeper layers get its keys and values from its hidden state, in <paramref name="row"/>, when they need them.
    /// </summary>
    public void Advance(int slot, int row, bool leavesEarly)
    {
        if (leavesEarly)
            Hidden(row).CopyTo(_states!.State(slot, _positions[slot]));
        _positions[slot]++;
    }

    public void Dispose()
    {
        ClearBindings();
        _positionRunner?.Dispose();
        foreach (OrtValue? view in _hiddenViews.SelectMany(views => views).Concat(_rowSlotsViews))
            view?.Dispose();
        foreach (KeyValueCache? cache in _self.Concat(_cross))
            cache?.Dispose();
        _selfBias.Dispose();
        _crossBiasView.Dispose();
        _crossBias.Dispose();
        for (int index = _owned.Count - 1; index >= 0; index--)
            _owned[index].Dispose();
    }

    private static NativeBuffer Floats(long count) => new(count * sizeof(float));

    private T Own<T>(T disposable)
        where T : IDisposable
    {
        _owned.Add(disposable);
        return disposable;
    }

    private (NativeBuffer Buffer, OrtValue View) CreateCrossBias(int entries)
    {
        _crossEntries = entries;
        _crossCapacity.Span<int>(0, 1)[0] = entries;
        NativeBuffer buffer = Floats((long)_slots * entries);
        return (buffer, BoundTensor.Floats(buffer, _slots, 1, 1, entries));
    }

    private void SetCrossBias(int slot)
    {
        Span<float> bias = _crossBias.Span<float>((long)slot * _crossEntries, _crossEntries);
        bias.Clear();
        bias[0] = GraphContract.Masked;
        bias[(_inputs[slot]!.Length + 1)..].Fill(GraphContract.Masked);
    }

    private SelfAttentionBias CreateSelfBias()
    {
        _selfCapacity.Span<int>(0, 1)[0] = _capacity + 1;
        return new SelfAttentionBias(_bundle, _slots, _capacity);
    }

    /// <summary>Makes a segment's caches, and computes the cross-attention keys and values of slots that reach a layer for the first time.</summary>
    private void Reach(int segment, ReadOnlySpan<int> slots)
    {
        (int firstLayer, int lastLayer) = _segments[segment];
        for (int layer = firstLayer; layer <= lastLayer; layer++)
        {
            ReachCrossAttention(layer, slots);
            _self[layer - 1] ??= new KeyValueCache(_slots, _heads, _headWidth, _capacity + 1);
        }
    }

    /// <summary>Brings a segment's layers up to the position of every slot by copying states.</summary>
    private void CopyStates(int segment, ReadOnlySpan<int> slots)
    {
        // No token can have left before the first segment's end.
        if (segment == 0)
            return;
        (int firstLayer, int lastLayer) = _segments[segment];
        for (int layer = firstLayer; layer <= lastLayer; layer++)
        {
            foreach (int slot in slots)
                _operations[slot] += _costs.StateCopies(_positions[slot] - _states!.FirstMissing(layer, slot));
            _copier!.BringUp(layer, _self[layer - 1]!, slots, _positions);
        }
    }

    /// <summary>
    /// Runs the rows that lack earlier positions, each with these, and leaves their hidden states with the others of their slots. The other rows become the first
    /// ones, in order; their slots are returned.
    /// </summary>
    private ReadOnlySpan<int> RunWithEarlierPositions(int segment, ReadOnlySpan<int> slots)
    {
        int firstLayer = _segments[segment].FirstLayer;
        int together = 0;
        for (int row = 0; row < slots.Length; row++)
        {
            int slot = slots[row];
            int position = _positions[slot];
            if (_states!.FirstMissing(firstLayer, slot) < position)
            {
                Hidden(row).CopyTo(_states.State(slot, position));
                RunPositions(segment, slot, position + 1);
                continue;
            }

            if (together != row)
                Hidden(row).CopyTo(Hidden(together));
            _together[together++] = slot;
        }

        return _together.AsSpan(0, together);
    }

    /// <summary>Runs a segment for the positions that it lacks of a slot, up to before <paramref name="end"/>; all layers of a segment lack the same.</summary>
    private void RunPositions(int segment, int slot, int end)
    {
        DecoderSegment blocks = _segments[segment];
        int first = _states!.FirstMissing(blocks.FirstLayer, slot);
        int encoderLength = _inputs[slot]!.Length;
        _positionRunner!.Run(blocks, slot, first, end, encoderLength);
        for (int position = first; position < end; position++)
            _operations[slot] += _costs.Blocks(blocks.LastLayer - blocks.FirstLayer + 1, position, encoderLength);
        Filled(blocks, slot, end);
    }

    /// <summary>Runs a segment for one position of each slot; their rows are the first.</summary>
    private void RunTogether(int segment, ReadOnlySpan<int> slots)
    {
        DecoderSegment blocks = _segments[segment];
        Place(slots);
        InferenceSession session = _sessions.Segment(blocks.FirstLayer, blocks.LastLayer, _slots > 1);
        session.RunWithBinding(_run, _bindings[segment][slots.Length] ??= Bind(session, segment, slots.Length));
        foreach (int slot in slots)
        {
            _operations[slot] += _costs.Blocks(blocks.LastLayer - blocks.FirstLayer + 1, _positions[slot], _inputs[slot]!.Length);
            if (_states is not null)
                Filled(blocks, slot, _positions[slot] + 1);
        }
    }

    /// <summary>Gives every row its place again: those that ran together are the first ones, the others lie with their slots' states.</summary>
    private void Spread(ReadOnlySpan<int> slots, int together)
    {
        // From the last on: no row is overwritten before it has moved.
        for (int row = slots.Length - 1; row >= 0; row--)
        {
            int slot = slots[row];
            if (together > 0 && _together[together - 1] == slot)
                Hidden(--together).CopyTo(Hidden(row));
            else
                _states!.State(slot, _positions[slot]).CopyTo(Hidden(row));
        }
    }

    private void Filled(DecoderSegment blocks, int slot, int end)
    {
        for (int layer = blocks.FirstLayer; layer <= blocks.LastLayer; layer++)
            _states!.Filled(layer, slot, end);
    }

    /// <summary>Says which slots run, at which lengths, and which row is in which slot.</summary>
    private void Place(ReadOnlySpan<int> slots)
    {
        Span<int> selfLengths = _selfLengths.Span<int>(0, _slots);
        Span<int> crossLengths = _crossLengths.Span<int>(0, _slots);
        Span<long> rowSlots = _rowSlots.Span<long>(0, _slots);
        Span<long> slotRows = _slotRows.Span<long>(0, _slots);
        // A slot that rests takes the first row: what is written for it goes to its scratch entry.
        selfLengths.Clear();
        crossLengths.Clear();
        slotRows.Clear();
        for (int row = 0; row < slots.Length; row++)
        {
            int slot = slots[row];
            selfLengths[slot] = _positions[slot] + 1;
            crossLengths[slot] = _inputs[slot]!.Length + 1;
            rowSlots[row] = slot;
            slotRows[slot] = row;
        }
    }

    private OrtIoBinding Bind(InferenceSession session, int segment, int rows)
    {
        (int firstLayer, int lastLayer) = _segments[segment];
        OrtIoBinding binding = session.CreateIoBinding();
        // Segments alternate strictly, so a segment always reads the same one of the two buffers.
        binding.BindInput(GraphContract.Hidden, HiddenView(_current, rows));
        binding.BindOutput(GraphContract.HiddenOut, HiddenView(1 - _current, rows));
        if (_slots > 1)
        {
            binding.BindInput(GraphContract.RowSlots, _rowSlotsViews[rows] ??= BoundTensor.Int64(_rowSlots, rows));
            binding.BindInput(GraphContract.SlotRows, _slotRowsView);
        }

        binding.BindInput(GraphContract.SelfBias, _selfBias.View);
        binding.BindInput(GraphContract.SelfLengths, _selfLengthsView);
        binding.BindInput(GraphContract.SelfCapacity, _selfCapacityView);
        binding.BindInput(GraphContract.CrossBias, _crossBiasView);
        binding.BindInput(GraphContract.CrossLengths, _crossLengthsView);
        binding.BindInput(GraphContract.CrossCapacity, _crossCapacityView);
        for (int layer = firstLayer; layer <= lastLayer; layer++)
            binding.BindCaches(layer, _self[layer - 1]!, _cross[layer - 1]!, slot: null);

        return binding;
    }

    private OrtValue HiddenView(int buffer, int rows) => _hiddenViews[buffer][rows] ??= BoundTensor.Floats(_hidden[buffer], rows, 1, _width);

    /// <summary>Computes a layer's cross-attention keys and values for the slots that reach it for the first time.</summary>
    private void ReachCrossAttention(int layer, ReadOnlySpan<int> slots)
    {
        KeyValueCache cache = _cross[layer - 1] ??= new KeyValueCache(_slots, _heads, _headWidth, _crossEntries);
        foreach (int slot in slots)
        {
            if (_crossLayers[slot] >= layer)
                continue;
            _crossLayers[slot] = layer;
            EncodedInput input = _inputs[slot]!;
            InferenceSession session = _sessions.CrossKeysValues(layer);
            using NativeBuffer output = Floats((long)input.Length * KeysValuesWidth);
            using OrtValue value = BoundTensor.Floats(output, input.Length, KeysValuesWidth);
            using OrtIoBinding binding = session.CreateIoBinding();
            binding.BindInput(GraphContract.Hidden, input.Hidden);
            binding.BindOutput(GraphContract.KeysValues, value);
            session.RunWithBinding(_run, binding);
            for (int position = 0; position < input.Length; position++)
                cache.Store(slot, position, output.Span<float>((long)position * KeysValuesWidth, KeysValuesWidth));
            _operations[slot] += _costs.CrossKeysValues(input.Length);
        }
    }

    private void Grow(int capacity)
    {
        ClearBindings();
        int[] kept = [.. _positions.Select(positions => Math.Min(positions, _capacity) + 1)];
        _capacity = capacity;
        foreach (KeyValueCache? cache in _self)
            cache?.Grow(capacity + 1, kept);
        _states?.Grow(capacity);
        SelfAttentionBias old = _selfBias;
        _selfBias = CreateSelfBias();
        old.Dispose();
        // The slots embedded before this one in the same token.
        for (int slot = 0; slot < _slots; slot++)
            _selfBias.Set(slot, Math.Min(_positions[slot], capacity - 1));
        _positionRunner?.Resize(_selfBias, _crossEntries);
    }

    private void GrowCross(int entries)
    {
        ClearBindings();
        int[] kept = [.. _inputs.Select(input => Math.Min((input?.Length ?? 0) + 1, _crossEntries))];
        foreach (KeyValueCache? cache in _cross)
            cache?.Grow(entries, kept);
        _crossBiasView.Dispose();
        _crossBias.Dispose();
        (_crossBias, _crossBiasView) = CreateCrossBias(entries);
        for (int slot = 0; slot < _slots; slot++)
        {
            if (_inputs[slot] is not null)
                SetCrossBias(slot);
        }

        _positionRunner?.Resize(_selfBias, entries);
    }

    private void ClearBindings()
    {
        foreach (OrtIoBinding?[] bindings in _bindings)
        {
            foreach (OrtIoBinding? binding in bindings)
                binding?.Dispose();
            Array.Clear(bindings);
        }
    }
}
