using Microsoft.ML.EarlyExit.Memory;
using Microsoft.ML.EarlyExit.Model;
using Microsoft.ML.EarlyExit.Model.Bundle;
using Microsoft.ML.OnnxRuntime;

namespace Microsoft.ML.EarlyExit.Runtime;

/// <summary>
/// <see cref="StatePropagation.ParallelDecoding"/> for all rows at once: the positions that rows lack, and their new ones, lie packed one after the other, as
/// many as each row has, so that a segment's weights are read once for all of them and nothing is padded. The attention is <see cref="AttentionOperator"/>.
/// </summary>
internal sealed unsafe class PackedRunner : IStatePropagator
{
    /// <summary>
    /// Positions of one run; more are run in turn. From here on the arithmetic costs several times what reading the weights does, so longer runs would save
    /// little.
    /// </summary>
    public const int LargestRun = 128;

    private readonly ModelSessions _sessions;
    private readonly IReadOnlyList<DecoderSegment> _segments;
    private readonly DecoderMemory _memory;
    private readonly BlockRunner _blocks;
    private readonly ExitedStates _states;
    private readonly int _width;
    private readonly RunOptions _run;
    private readonly BoundBuffer<float> _hidden;
    private readonly BoundBuffer<float> _hiddenOut;

    // What the operator reads: the address of the job, the job, and what that points to.
    private readonly BoundBuffer<long> _jobAddress = new(1);
    private readonly NativeBuffer _job = new(sizeof(AttentionJob));
    private readonly NativeBuffer _parts = new(LargestRun * sizeof(AttentionPart));
    private readonly NativeBuffer _layers;

    // At most one for each segment and number of tokens, of a few KB.
    private readonly Dictionary<(int FirstLayer, int Count), OrtIoBinding> _bindings = [];

    // Which row of the block runner each part belongs to.
    private readonly int[] _rows = new int[LargestRun];

    public PackedRunner(
        ModelSessions sessions, IReadOnlyList<DecoderSegment> segments, DecoderMemory memory, BlockRunner blocks, T5Configuration configuration, int headWidth,
        RunOptions run)
    {
        _sessions = sessions;
        _segments = segments;
        _memory = memory;
        _blocks = blocks;
        _states = memory.States!;
        _width = configuration.ModelDimension;
        _run = run;
        _hidden = new BoundBuffer<float>(1, LargestRun, _width);
        _hiddenOut = new BoundBuffer<float>(1, LargestRun, _width);
        _layers = new NativeBuffer((long)configuration.DecoderLayerCount * sizeof(AttentionCaches));
        _jobAddress.Values[0] = _job.Address;
        Job = new AttentionJob
        {
            Parts = (AttentionPart*)_parts.Address,
            Layers = (AttentionCaches*)_layers.Address,
            HeadCount = configuration.HeadCount,
            HeadWidth = headWidth,
        };
    }

    private ref AttentionJob Job => ref *(AttentionJob*)_job.Address;

    public void BringUp(int segment, ReadOnlySpan<int> slots) => RunPacked(segment, slots, newTokens: 0);

    /// <summary>Runs all rows packed where one lacks an earlier position; else as any tokens.</summary>
    public void Run(int segment, ReadOnlySpan<int> slots)
    {
        foreach (int slot in slots)
        {
            if (_states.FirstMissing(_segments[segment].FirstLayer, slot) == _memory.Positions[slot])
                continue;
            RunPacked(segment, slots, newTokens: 1);
            _blocks.Flip();
            return;
        }

        _blocks.Run(segment, slots);
    }

    /// <summary>Addresses are taken anew before every run, and hidden states stay where they are.</summary>
    public void Unbind()
    {
    }

    public void Dispose()
    {
        foreach (OrtIoBinding binding in _bindings.Values)
            binding.Dispose();
        foreach (IDisposable buffer in new IDisposable[] { _hidden, _hiddenOut, _jobAddress, _job, _parts, _layers })
            buffer.Dispose();
    }

    /// <summary>Runs a segment for all positions that it lacks of the slots, up to the one of their next token or with it.</summary>
    private void RunPacked(int segment, ReadOnlySpan<int> slots, int newTokens)
    {
        DecoderSegment blocks = _segments[segment];
        SetCaches(blocks);
        int tokens = 0;
        for (int row = 0; row < slots.Length; row++)
        {
            int slot = slots[row];
            // All layers of a segment lack the same.
            int first = _states.FirstMissing(blocks.FirstLayer, slot);
            int end = _memory.Positions[slot] + newTokens;
            for (int next = first, count; next < end; next += count)
            {
                // Positions of one row may be parted: the later ones find the earlier in the caches.
                count = Math.Min(end - next, LargestRun - tokens);
                Add(row, new AttentionPart(tokens, count, slot, next, _memory.Cross.EncoderLength(slot)));
                tokens += count;
                if (tokens < LargestRun)
                    continue;
                RunParts(blocks, tokens);
                tokens = 0;
            }

            _memory.RecordRun(blocks, slot, first, end);
        }

        if (tokens > 0)
            RunParts(blocks, tokens);
    }

    private void Add(int row, AttentionPart part)
    {
        _rows[Job.PartCount] = row;
        Job.Parts[Job.PartCount++] = part;
        int earlier = Earlier(part);
        _states.States(part.Slot, part.Position, earlier).CopyTo(_hidden.Span((long)part.FirstToken * _width, earlier * _width));
        if (earlier < part.Count)
            _blocks.Hidden(row).CopyTo(_hidden.Span((long)(part.FirstToken + earlier) * _width, _width));
    }

    private void RunParts(DecoderSegment blocks, int tokens)
    {
        Job.TokenCount = tokens;
        InferenceSession session = _sessions.Segment(blocks, SegmentForm.Packed);
        session.RunWithBinding(_run, Binding(session, blocks, tokens));
        for (int index = 0; index < Job.PartCount; index++)
        {
            AttentionPart part = Job.Parts[index];
            int earlier = Earlier(part);
            _hiddenOut.Span((long)part.FirstToken * _width, earlier * _width).CopyTo(_states.States(part.Slot, part.Position, earlier));
            if (earlier < part.Count)
                _hiddenOut.Span((long)(part.FirstToken + earlier) * _width, _width).CopyTo(_blocks.NextHidden(_rows[index]));
        }

        Job.PartCount = 0;
    }

    /// <summary>How many of a part's tokens are earlier ones, whose states lie with their slot's.</summary>
    private int Earlier(AttentionPart part) => Math.Min(part.Count, _memory.Positions[part.Slot] - part.Position);

    private void SetCaches(DecoderSegment blocks)
    {
        Job.PartCount = 0;
        Job.Bias = (float*)_memory.Self.Bias.ReversedAddress;
        Job.BiasLength = _memory.Self.Capacity;
        Job.SelfEntries = _memory.Self.Bias.Entries;
        Job.CrossEntries = _memory.Cross.Entries;
        for (int layer = blocks.FirstLayer; layer <= blocks.LastLayer; layer++)
        {
            KeyValueCache self = _memory.Self.Cache(layer);
            KeyValueCache cross = _memory.Cross.Cache(layer);
            Job.Layers[layer - 1] = new AttentionCaches
            {
                SelfKeys = (float*)self.KeysAddress,
                SelfValues = (float*)self.ValuesAddress,
                CrossKeys = (float*)cross.KeysAddress,
                CrossValues = (float*)cross.ValuesAddress,
            };
        }
    }

    private OrtIoBinding Binding(InferenceSession session, DecoderSegment blocks, int tokens)
    {
        if (_bindings.TryGetValue((blocks.FirstLayer, tokens), out OrtIoBinding? binding))
            return binding;
        binding = session.CreateIoBinding();
        // A binding holds on to the memory, not to these views of it.
        using OrtValue hidden = _hidden.Shaped(1, tokens, _width);
        using OrtValue hiddenOut = _hiddenOut.Shaped(1, tokens, _width);
        binding.BindInput(GraphContract.Hidden, hidden);
        binding.BindOutput(GraphContract.HiddenOut, hiddenOut);
        binding.BindInput(AttentionOperator.Job, _jobAddress.View);
        _bindings[(blocks.FirstLayer, tokens)] = binding;
        return binding;
    }
}
