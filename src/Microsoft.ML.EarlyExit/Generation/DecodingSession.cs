using System.Numerics;
using Microsoft.ML.OnnxRuntime;

namespace Microsoft.ML.EarlyExit;

/// <summary>
/// The decoding loop of one batch and all its mutable state. Rows are independent: between two segments the policy says which of them leave, and only the
/// others run on; a row that has ended runs no more. Nothing is allocated per token once the shapes that occur have occurred.
/// </summary>
internal sealed unsafe class DecodingSession : IDisposable
{
    private const int FirstCapacity = 64;
    private const int LargestCopyRun = 256;

    private readonly ModelSessions _sessions;
    private readonly LanguageModelHead _head;
    private readonly ExitPlan _plan;
    private readonly TokenSelector _selector;
    private readonly T5Configuration _configuration;
    private readonly int _maxNewTokens;
    private readonly int _heads;
    private readonly int _headWidth;
    private readonly int _width;
    private readonly float* _embedding;
    private readonly float* _relativeBias;
    private readonly int _relativeBiasReach;

    private readonly DecodingRow[] _rows;
    private readonly DecodingRow[] _active;
    private readonly bool _selectRows;
    private readonly RunOptions _runOptions = new();
    private readonly OnnxThreadPool.Lane _lane;
    private readonly List<IDisposable> _owned = [];

    // Hidden states go back and forth between two buffers, one segment at a time.
    private readonly NativeBuffer[] _hidden;
    private readonly OrtValue?[][] _hiddenViews;
    private readonly NativeBuffer _normed;
    private readonly NativeBuffer _logits;
    private readonly NativeBuffer _rowSlots;
    private readonly NativeBuffer _slotRows;
    private readonly NativeBuffer _selfLengths;
    private readonly NativeBuffer _crossLengths;
    private readonly NativeBuffer _capacities;
    private readonly OrtValue?[] _rowSlotsViews;
    private readonly OrtValue _slotRowsView;
    private readonly OrtValue _selfLengthsView;
    private readonly OrtValue _crossLengthsView;
    private readonly OrtValue _selfCapacityView;
    private readonly OrtValue _crossCapacityView;
    private readonly NativeBuffer _selfCapacityBuffer;
    private readonly OrtValue _crossBiasView;
    private readonly int _crossEntries;

    private readonly KeyValueCache?[] _self;
    private readonly KeyValueCache?[] _cross;
    private readonly StateCopyBuffer? _copies;
    private readonly OrtIoBinding?[][] _segmentBindings;
    private readonly Dictionary<(int Layer, int Count), OrtIoBinding> _copyBindings = [];
    private readonly Dictionary<int, (OrtValue Input, OrtValue Output)> _copyViews = [];
    private NativeBuffer? _copyInput;
    private NativeBuffer? _copyOutput;

    // Tokens the session has room for; caches have one entry more, the scratch.
    private int _capacity;
    private NativeBuffer _selfBias;
    private OrtValue _selfBiasView;
    private float[] _reversedBias = [];

    public DecodingSession(
        ModelBundle bundle, ModelSessions sessions, LanguageModelHead head, IReadOnlyList<EncodedInput> inputs, ExitPlan plan, TextGenerationOptions options, int maxNewTokens)
    {
        _sessions = sessions;
        _head = head;
        _plan = plan;
        _configuration = bundle.Configuration;
        _selector = new TokenSelector(_configuration, options);
        _maxNewTokens = maxNewTokens;
        _heads = _configuration.HeadCount;
        _headWidth = bundle.Manifest.GraphHeadDimension;
        _width = _configuration.ModelDimension;
        _embedding = bundle.TensorData(bundle.Manifest.TensorNames.Embedding);
        _relativeBias = bundle.TensorData(bundle.Manifest.TensorNames.DecoderRelativeBias);
        bundle.TryGetTensor(bundle.Manifest.TensorNames.DecoderRelativeBias, out BundleTensor bias);
        _relativeBiasReach = bias.Shape[0] - 1;

        int slots = inputs.Count;
        _selectRows = slots > 1;
        _capacity = Math.Min(maxNewTokens, FirstCapacity);
        _rows = [.. inputs.Select((input, slot) => new DecodingRow(slot, input, _configuration, options, _capacity))];
        _active = new DecodingRow[slots];
        _lane = Own(sessions.ThreadPool.CreateLane());
        _hidden = [Own(Floats(slots * (long)_width)), Own(Floats(slots * (long)_width))];
        _hiddenViews = [new OrtValue?[slots + 1], new OrtValue?[slots + 1]];
        _normed = Own(Floats(slots * (long)_width));
        _logits = Own(Floats(slots * (long)_configuration.VocabularySize));
        _rowSlots = Own(new NativeBuffer(slots * sizeof(long)));
        _slotRows = Own(new NativeBuffer(slots * sizeof(long)));
        _selfLengths = Own(new NativeBuffer(slots * sizeof(int)));
        _crossLengths = Own(new NativeBuffer(slots * sizeof(int)));
        _selfCapacityBuffer = Own(new NativeBuffer(sizeof(int)));
        _capacities = Own(new NativeBuffer(sizeof(int)));
        _rowSlotsViews = new OrtValue?[slots + 1];
        _slotRowsView = Own(BoundTensor.Int64(_slotRows, slots));
        _selfLengthsView = Own(BoundTensor.Int32(_selfLengths, slots));
        _crossLengthsView = Own(BoundTensor.Int32(_crossLengths, slots));
        _selfCapacityView = Own(BoundTensor.Int32(_selfCapacityBuffer));
        _crossCapacityView = Own(BoundTensor.Int32(_capacities));

        // Scratch before and after a row's encoder positions: see GraphContract.
        _crossEntries = inputs.Max(input => input.Length) + 2;
        _capacities.Span<int>(0, 1)[0] = _crossEntries;
        NativeBuffer crossBias = Own(Floats(slots * (long)_crossEntries));
        foreach (DecodingRow row in _rows)
        {
            Span<float> rowBias = crossBias.Span<float>(row.Slot * (long)_crossEntries, _crossEntries);
            rowBias[0] = GraphContract.Masked;
            rowBias[(row.Encoded.Length + 1)..].Fill(GraphContract.Masked);
        }

        _crossBiasView = Own(BoundTensor.Floats(crossBias, slots, 1, 1, _crossEntries));
        _self = new KeyValueCache?[_configuration.DecoderLayerCount];
        _cross = new KeyValueCache?[_configuration.DecoderLayerCount];
        _segmentBindings = [.. plan.Segments.Select(_ => new OrtIoBinding?[slots + 1])];
        if (plan.Segments.Count > 1)
            _copies = new StateCopyBuffer(slots, _configuration.DecoderLayerCount, _width, _capacity);
        (_selfBias, _selfBiasView) = CreateSelfBias();
    }

    public IReadOnlyList<DecodingRow> Rows => _rows;

    /// <summary>Whether a row still wants tokens.</summary>
    public bool IsRunning
    {
        get
        {
            foreach (DecodingRow row in _rows)
            {
                if (row.IsRunning)
                    return true;
            }

            return false;
        }
    }

    /// <summary>Generates one token for every running row.</summary>
    /// <exception cref="OperationCanceledException">Cancellation was asked for; it is looked at between segments.</exception>
    public void Step(CancellationToken cancellationToken)
    {
        int count = 0;
        foreach (DecodingRow row in _rows)
        {
            if (row.IsRunning)
                _active[count++] = row;
        }

        int position = _active[0].TokenCount;
        if (position == _capacity)
            Grow(Math.Min(_maxNewTokens, 2 * _capacity));
        Span<float> hidden = _hidden[0].Span<float>(0, count * _width);
        for (int index = 0; index < count; index++)
        {
            new ReadOnlySpan<float>(_embedding + ((long)_active[index].LastToken * _width), _width).CopyTo(hidden[(index * _width)..]);
            WriteSelfBias(_active[index]);
        }

        for (int segment = 0; segment < _plan.Segments.Count && count > 0; segment++)
        {
            cancellationToken.ThrowIfCancellationRequested();
            RunSegment(segment, count);
            count = Decide(segment, count);
        }
    }

    public void Dispose()
    {
        ClearBindings();
        foreach (OrtIoBinding binding in _copyBindings.Values)
            binding.Dispose();
        foreach ((OrtValue input, OrtValue output) in _copyViews.Values)
        {
            input.Dispose();
            output.Dispose();
        }

        foreach (OrtValue? view in _hiddenViews.SelectMany(views => views).Concat(_rowSlotsViews))
            view?.Dispose();
        _copyInput?.Dispose();
        _copyOutput?.Dispose();
        _selfBiasView.Dispose();
        _selfBias.Dispose();
        foreach (KeyValueCache? cache in _self.Concat(_cross))
            cache?.Dispose();
        _copies?.Dispose();
        for (int index = _owned.Count - 1; index >= 0; index--)
            _owned[index].Dispose();
        _runOptions.Dispose();
    }

    private static NativeBuffer Floats(long count) => new(count * sizeof(float));

    private T Own<T>(T disposable)
        where T : IDisposable
    {
        _owned.Add(disposable);
        return disposable;
    }

    private void RunSegment(int segment, int count)
    {
        (int firstLayer, int lastLayer) = _plan.Segments[segment];
        for (int layer = firstLayer; layer <= lastLayer; layer++)
        {
            ReachCrossAttention(layer, count);
            _self[layer - 1] ??= new KeyValueCache(_rows.Length, _heads, _headWidth, _capacity + 1);
            if (segment > 0)
                CopyMissingStates(layer, count);
        }

        Span<int> selfLengths = _selfLengths.Span<int>(0, _rows.Length);
        Span<int> crossLengths = _crossLengths.Span<int>(0, _rows.Length);
        selfLengths.Clear();
        crossLengths.Clear();
        Span<long> rowSlots = _rowSlots.Span<long>(0, _rows.Length);
        Span<long> slotRows = _slotRows.Span<long>(0, _rows.Length);
        for (int index = 0; index < count; index++)
        {
            DecodingRow row = _active[index];
            selfLengths[row.Slot] = row.TokenCount + 1;
            crossLengths[row.Slot] = row.Encoded.Length + 1;
            rowSlots[index] = row.Slot;
            slotRows[row.Slot] = index;
        }

        // A slot that does not run takes any row that does: what is written goes to its scratch entry.
        if (count < _rows.Length)
        {
            foreach (ref long row in slotRows)
            {
                if (row >= count)
                    row = 0;
            }
        }

        InferenceSession session = _sessions.Segment(firstLayer, lastLayer, _selectRows);
        session.RunWithBinding(_runOptions, _segmentBindings[segment][count] ??= Bind(session, segment, count));
        if (_copies is null)
            return;
        for (int layer = firstLayer; layer <= lastLayer; layer++)
        {
            for (int index = 0; index < count; index++)
                _copies.Filled(layer, _active[index].Slot, _active[index].TokenCount + 1);
        }
    }

    private OrtIoBinding Bind(InferenceSession session, int segment, int count)
    {
        (int firstLayer, int lastLayer) = _plan.Segments[segment];
        int from = segment % 2;
        OrtIoBinding binding = session.CreateIoBinding();
        binding.BindInput(GraphContract.Hidden, HiddenView(from, count));
        binding.BindOutput(GraphContract.HiddenOut, HiddenView(1 - from, count));
        if (_selectRows)
        {
            binding.BindInput(GraphContract.RowSlots, _rowSlotsViews[count] ??= BoundTensor.Int64(_rowSlots, count));
            binding.BindInput(GraphContract.SlotRows, _slotRowsView);
        }

        binding.BindInput(GraphContract.SelfBias, _selfBiasView);
        binding.BindInput(GraphContract.SelfLengths, _selfLengthsView);
        binding.BindInput(GraphContract.SelfCapacity, _selfCapacityView);
        binding.BindInput(GraphContract.CrossBias, _crossBiasView);
        binding.BindInput(GraphContract.CrossLengths, _crossLengthsView);
        binding.BindInput(GraphContract.CrossCapacity, _crossCapacityView);
        for (int layer = firstLayer; layer <= lastLayer; layer++)
        {
            KeyValueCache self = _self[layer - 1]!;
            KeyValueCache cross = _cross[layer - 1]!;
            BindCache(GraphContract.SelfKeys, GraphContract.PresentSelfKeys, self.Keys);
            BindCache(GraphContract.SelfValues, GraphContract.PresentSelfValues, self.Values);
            BindCache(GraphContract.CrossKeys, GraphContract.PresentCrossKeys, cross.Keys);
            BindCache(GraphContract.CrossValues, GraphContract.PresentCrossValues, cross.Values);

            void BindCache(string past, string present, OrtValue value)
            {
                // The same memory as past and present: the kernel appends in place.
                binding.BindInput(SegmentComposer.CacheName(past, layer), value);
                binding.BindOutput(SegmentComposer.CacheName(present, layer), value);
            }
        }

        return binding;
    }

    private OrtValue HiddenView(int buffer, int count) => _hiddenViews[buffer][count] ??= BoundTensor.Floats(_hidden[buffer], count, 1, _width);

    /// <summary>After a segment: rows that leave get their token; the others move together and are counted.</summary>
    private int Decide(int segment, int count)
    {
        int layer = _plan.Segments[segment].LastLayer;
        bool isLast = segment == _plan.Segments.Count - 1;
        Span<float> hidden = _hidden[1 - (segment % 2)].Span<float>(0, count * _width);
        Span<float> logits = _logits.Span<float>(0, count * _head.VocabularySize);
        bool needsLogits = isLast || _plan.Confidence!.UsesLogits;
        if (needsLogits)
            ComputeLogits(hidden, count, logits);

        int staying = 0;
        for (int index = 0; index < count; index++)
        {
            DecodingRow row = _active[index];
            Span<float> state = hidden.Slice(index * _width, _width);
            if (!TryLeave(row, layer, isLast, logits.Slice(index * _head.VocabularySize, _head.VocabularySize)))
            {
                if (staying != index)
                    state.CopyTo(hidden[(staying * _width)..]);
                _active[staying++] = row;
            }
            else if (row.IsRunning && !isLast)
            {
                state.CopyTo(_copies!.State(row.Slot, row.TokenCount - 1));
            }
        }

        return staying;
    }

    private bool TryLeave(DecodingRow row, int layer, bool isLast, Span<float> logits)
    {
        if (!isLast)
        {
            float confidence = _plan.Confidence!.Evaluate(logits);
            row.Evaluated(layer, confidence, logits.Length);
            if (float.IsNaN(confidence))
                return Fail(row, layer);
            if (!_plan.Leaves(confidence, layer, row.TokenCount))
                return false;
        }

        int token = _selector.Choose(logits, row.Sequence, row.Seen);
        if (token == TokenSelector.Invalid)
            return Fail(row, layer);
        if (token == TokenSelector.Forbidden)
        {
            if (!isLast)
                return false;
            // As Hugging Face: the first id of a vocabulary in which nothing is allowed.
            token = 0;
        }

        row.Emit(token, layer, _configuration.EndOfSequenceTokenId, _maxNewTokens);
        return true;
    }

    private static bool Fail(DecodingRow row, int layer)
    {
        row.Fail($"After decoder layer {layer} the hidden state of token {row.TokenCount} holds a NaN or an infinity: the model's weights do not fit this input.");
        return true;
    }

    private void ComputeLogits(ReadOnlySpan<float> hidden, int count, Span<float> logits)
    {
        Span<float> normed = _normed.Span<float>(0, count * _width);
        for (int index = 0; index < count; index++)
            _head.Normalize(hidden.Slice(index * _width, _width), normed.Slice(index * _width, _width));
        _head.Multiply(_lane, normed, count, logits);
    }

    /// <summary>Computes a layer's cross-attention keys and values for the rows that reach it for the first time.</summary>
    private void ReachCrossAttention(int layer, int count)
    {
        KeyValueCache cache = _cross[layer - 1] ??= new KeyValueCache(_rows.Length, _heads, _headWidth, _crossEntries);
        for (int index = 0; index < count; index++)
        {
            DecodingRow row = _active[index];
            if (row.CrossLayers >= layer)
                continue;
            row.CrossLayers = layer;
            int length = row.Encoded.Length;
            int stride = 2 * _heads * _headWidth;
            InferenceSession session = _sessions.CrossKeysValues(layer);
            using NativeBuffer output = Floats((long)length * stride);
            using OrtValue value = BoundTensor.Floats(output, length, stride);
            using OrtIoBinding binding = session.CreateIoBinding();
            binding.BindInput(GraphContract.Hidden, row.Encoded.Hidden);
            binding.BindOutput(GraphContract.KeysValues, value);
            session.RunWithBinding(_runOptions, binding);
            for (int position = 0; position < length; position++)
                cache.Store(row.Slot, position, output.Span<float>((long)position * stride, stride));
        }
    }

    /// <summary>State copying: gives a layer the keys and values of positions that left before it, for all rows that now reach it, in few products.</summary>
    private void CopyMissingStates(int layer, int count)
    {
        int pending = 0;
        for (int index = 0; index < count; index++)
        {
            DecodingRow row = _active[index];
            for (int position = _copies!.FirstMissing(layer, row.Slot); position < row.TokenCount; position++)
            {
                _copies.State(row.Slot, position).CopyTo(CopyInput(pending));
                if (++pending == LargestCopyRun)
                {
                    RunCopies(layer, index, position + 1, pending);
                    pending = 0;
                }
            }
        }

        if (pending > 0)
            RunCopies(layer, count - 1, _active[count - 1].TokenCount, pending);
    }

    private Span<float> CopyInput(int index) => (_copyInput ??= Floats((long)LargestCopyRun * _width)).Span<float>((long)index * _width, _width);

    private void RunCopies(int layer, int lastIndex, int lastEnd, int pending)
    {
        int stride = 2 * _heads * _headWidth;
        _copyOutput ??= Floats((long)LargestCopyRun * stride);
        // Rounded up, so that few shapes occur; what stands in the rows beyond is computed for nothing.
        int run = (int)BitOperations.RoundUpToPowerOf2((uint)pending);
        InferenceSession session = _sessions.StateKeysValues(layer);
        if (!_copyBindings.TryGetValue((layer, run), out OrtIoBinding? binding))
        {
            if (!_copyViews.TryGetValue(run, out (OrtValue Input, OrtValue Output) views))
                _copyViews[run] = views = (BoundTensor.Floats(_copyInput!, run, _width), BoundTensor.Floats(_copyOutput, run, stride));
            binding = session.CreateIoBinding();
            binding.BindInput(GraphContract.Hidden, views.Input);
            binding.BindOutput(GraphContract.KeysValues, views.Output);
            _copyBindings[(layer, run)] = binding;
        }

        session.RunWithBinding(_runOptions, binding);
        int done = 0;
        for (int index = 0; done < pending; index++)
        {
            DecodingRow row = _active[index];
            int end = index == lastIndex ? lastEnd : row.TokenCount;
            for (int position = _copies!.FirstMissing(layer, row.Slot); position < end && done < pending; position++)
                _self[layer - 1]!.Store(row.Slot, position, _copyOutput.Span<float>((long)done++ * stride, stride));
            _copies.Filled(layer, row.Slot, Math.Max(end, _copies.FirstMissing(layer, row.Slot)));
        }
    }

    private void WriteSelfBias(DecodingRow row)
    {
        int entries = _capacity + 1;
        int length = row.TokenCount + 1;
        for (int head = 0; head < _heads; head++)
        {
            Span<float> bias = _selfBias.Span<float>((((long)row.Slot * _heads) + head) * entries, entries);
            bias[0] = GraphContract.Masked;
            _reversedBias.AsSpan(((head + 1) * _capacity) - length, length).CopyTo(bias[1..]);
        }
    }

    private void Grow(int capacity)
    {
        ClearBindings();
        _capacity = capacity;
        foreach (KeyValueCache? cache in _self)
            cache?.Grow(capacity + 1);
        _copies?.Grow(capacity);
        foreach (DecodingRow row in _rows)
            row.Grow(capacity);
        _selfBiasView.Dispose();
        _selfBias.Dispose();
        (_selfBias, _selfBiasView) = CreateSelfBias();
    }

    private (NativeBuffer Buffer, OrtValue View) CreateSelfBias()
    {
        int entries = _capacity + 1;
        _selfCapacityBuffer.Span<int>(0, 1)[0] = entries;
        // By head, the farthest distance first: the bias of a row of keys is then one slice.
        _reversedBias = new float[_heads * _capacity];
        for (int head = 0; head < _heads; head++)
        {
            for (int distance = 0; distance < _capacity; distance++)
                _reversedBias[((head + 1) * _capacity) - 1 - distance] = _relativeBias[((long)Math.Min(distance, _relativeBiasReach) * _heads) + head];
        }

        NativeBuffer buffer = Floats((long)_rows.Length * _heads * entries);
        return (buffer, BoundTensor.Floats(buffer, _rows.Length, _heads, 1, entries));
    }

    private void ClearBindings()
    {
        foreach (OrtIoBinding?[] bindings in _segmentBindings)
        {
            foreach (OrtIoBinding? binding in bindings)
                binding?.Dispose();
            Array.Clear(bindings);
        }
    }
}
