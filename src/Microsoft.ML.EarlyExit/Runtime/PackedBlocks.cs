using System.Diagnostics;
using Microsoft.ML.EarlyExit.Memory;
using Microsoft.ML.EarlyExit.Model;
using Microsoft.ML.EarlyExit.Model.Bundle;
using Microsoft.ML.OnnxRuntime;

namespace Microsoft.ML.EarlyExit.Runtime;

/// <summary>
/// Runs segments of blocks on the CPU for tokens of some rows, as many of each row as it has, packed one after the other: a segment's weights are read once for
/// all of them and nothing is padded. The attention is <see cref="AttentionOperator"/>.
/// </summary>
internal sealed unsafe class PackedBlocks : IDisposable
{
    private readonly ModelSessions _sessions;
    private readonly DecoderMemory _memory;
    private readonly int _width;
    private readonly RunOptions _run;

    // What the operator reads: the address of the job, the job, and what that points to.
    private readonly BoundBuffer<long> _jobAddress = new(1);
    private readonly NativeBuffer _job = new(sizeof(AttentionJob));
    private readonly NativeBuffer _parts;
    private readonly NativeBuffer _layers;

    // At most one for each segment and number of tokens, of a few KB.
    private readonly Dictionary<(int FirstLayer, int Count), OrtIoBinding> _bindings = [];

    /// <param name="sessions">The model's sessions.</param>
    /// <param name="memory">The caches.</param>
    /// <param name="configuration">The model's sizes.</param>
    /// <param name="headWidth">The width of a head as the graphs have it.</param>
    /// <param name="mostParts">Parts of a run, at most.</param>
    /// <param name="run">Options of every run.</param>
    public PackedBlocks(ModelSessions sessions, DecoderMemory memory, T5Configuration configuration, int headWidth, int mostParts, RunOptions run)
    {
        _sessions = sessions;
        _memory = memory;
        _width = configuration.ModelDimension;
        _run = run;
        _parts = new NativeBuffer((long)mostParts * sizeof(AttentionPart));
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

    /// <summary>What the next run has so far.</summary>
    public ReadOnlySpan<AttentionPart> Parts => new(Job.Parts, Job.PartCount);

    private ref AttentionJob Job => ref *(AttentionJob*)_job.Address;

    /// <summary>Adds a row's tokens to the next run, behind those that it has.</summary>
    /// <returns>Which part of the run they are.</returns>
    public int Add(int count, int slot, int position)
    {
        Job.Parts[Job.PartCount] = new AttentionPart(Job.TokenCount, count, slot, position, _memory.Cross.EncoderLength(slot));
        Job.TokenCount += count;
        return Job.PartCount++;
    }

    /// <summary>Runs a segment for what was added. Its caches must have been made, and hold what comes before each part.</summary>
    /// <param name="blocks">The segment.</param>
    /// <param name="hidden">The tokens' hidden states; always the same buffer for the segment.</param>
    /// <param name="hiddenOut">Takes those after it; likewise.</param>
    public void Run(DecoderSegment blocks, BoundBuffer<float> hidden, BoundBuffer<float> hiddenOut)
    {
        try
        {
            SetCaches(blocks);
            InferenceSession session = _sessions.Segment(blocks);
            session.RunWithBinding(_run, Binding(session, blocks, hidden, hiddenOut));
        }
        finally
        {
            (Job.PartCount, Job.TokenCount) = (0, 0);
        }
    }

    public void Dispose()
    {
        foreach (OrtIoBinding binding in _bindings.Values)
            binding.Dispose();
        foreach (IDisposable buffer in new IDisposable[] { _jobAddress, _job, _parts, _layers })
            buffer.Dispose();
    }

    // Anew for every run: memory moves when it grows.
    private void SetCaches(DecoderSegment blocks)
    {
        Job.Bias = (float*)_memory.Self.Bias.ReversedAddress;
        Job.BiasLength = _memory.Self.Capacity;
        Job.SelfEntries = _memory.Self.Bias.Entries;
        Job.CrossEntries = _memory.Cross.Entries;
        for (int layer = blocks.FirstLayer; layer <= blocks.LastLayer; layer++)
        {
            KeyValueCache self = _memory.Self.Cache(layer);
            KeyValueCache cross = _memory.Cross.Cache(layer);
            Debug.Assert(self.Capacity == Job.SelfEntries && cross.Capacity == Job.CrossEntries, "Caches and biases grow together.");
            Job.Layers[layer - 1] = new AttentionCaches
            {
                SelfKeys = (float*)self.KeysAddress,
                SelfValues = (float*)self.ValuesAddress,
                CrossKeys = (float*)cross.KeysAddress,
                CrossValues = (float*)cross.ValuesAddress,
            };
        }
    }

    private OrtIoBinding Binding(InferenceSession session, DecoderSegment blocks, BoundBuffer<float> hidden, BoundBuffer<float> hiddenOut)
    {
        int tokens = Job.TokenCount;
        if (_bindings.TryGetValue((blocks.FirstLayer, tokens), out OrtIoBinding? binding))
            return binding;
        binding = session.CreateIoBinding();
        // A binding holds on to the memory, not to these views of it.
        using OrtValue given = hidden.Shaped(1, tokens, _width);
        using OrtValue taken = hiddenOut.Shaped(1, tokens, _width);
        binding.BindInput(GraphContract.Hidden, given);
        binding.BindOutput(GraphContract.HiddenOut, taken);
        binding.BindInput(AttentionOperator.Job, _jobAddress.View);
        _bindings[(blocks.FirstLayer, tokens)] = binding;
        return binding;
    }
}
