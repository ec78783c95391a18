using Microsoft.ML.EarlyExit.Model;
using Microsoft.ML.OnnxRuntime;

namespace Microsoft.ML.EarlyExit.Runtime;

/// <summary>
/// <see cref="StatePropagation.ParallelDecoding"/> on the CPU, for all rows at once: the positions that rows lack run together with their new ones, see
/// <see cref="PackedBlocks"/>.
/// </summary>
internal sealed class PackedRunner : IStatePropagator
{
    /// <summary>
    /// Positions of one run; more are run in turn. From here on the arithmetic costs several times what reading the weights does, so longer runs would save
    /// little.
    /// </summary>
    public const int LargestRun = 128;

    private readonly IReadOnlyList<DecoderSegment> _segments;
    private readonly DecoderMemory _memory;
    private readonly BlockRunner _blocks;
    private readonly ExitedStates _states;
    private readonly int _width;
    private readonly PackedBlocks _packed;
    private readonly BoundBuffer<float> _hidden;
    private readonly BoundBuffer<float> _hiddenOut;

    // Which row of the block runner each part belongs to.
    private readonly int[] _rows = new int[LargestRun];

    public PackedRunner(
        ModelSessions sessions, IReadOnlyList<DecoderSegment> segments, DecoderMemory memory, BlockRunner blocks, T5Configuration configuration, int headWidth,
        RunOptions run)
    {
        _segments = segments;
        _memory = memory;
        _blocks = blocks;
        _states = memory.States!;
        _width = configuration.ModelDimension;
        _packed = new PackedBlocks(sessions, memory, configuration, headWidth, LargestRun, run);
        _hidden = new BoundBuffer<float>(1, LargestRun, _width);
        _hiddenOut = new BoundBuffer<float>(1, LargestRun, _width);
    }

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

    /// <summary>Nothing here is bound to memory that moves.</summary>
    public void Unbind()
    {
    }

    public void Dispose()
    {
        _packed.Dispose();
        _hidden.Dispose();
        _hiddenOut.Dispose();
    }

    /// <summary>Runs a segment for all positions that it lacks of the slots, up to the one of their next token or with it.</summary>
    private void RunPacked(int segment, ReadOnlySpan<int> slots, int newTokens)
    {
        DecoderSegment blocks = _segments[segment];
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
                Add(row, count, slot, next);
                tokens += count;
                if (tokens < LargestRun)
                    continue;
                RunParts(blocks);
                tokens = 0;
            }

            _memory.RecordRun(blocks, slot, first, end);
        }

        if (tokens > 0)
            RunParts(blocks);
    }

    private void Add(int row, int count, int slot, int position)
    {
        int index = _packed.Add(count, slot, position);
        _rows[index] = row;
        AttentionPart part = _packed.Parts[index];
        int earlier = Earlier(part);
        _states.States(slot, position, earlier).CopyTo(_hidden.Span((long)part.FirstToken * _width, earlier * _width));
        if (earlier < count)
            _blocks.Hidden(row).CopyTo(_hidden.Span((long)(part.FirstToken + earlier) * _width, _width));
    }

    private void RunParts(DecoderSegment blocks)
    {
        // The parts stay readable until others are added.
        ReadOnlySpan<AttentionPart> parts = _packed.Parts;
        _packed.Run(blocks, _hidden, _hiddenOut);
        for (int index = 0; index < parts.Length; index++)
        {
            AttentionPart part = parts[index];
            int earlier = Earlier(part);
            _hiddenOut.Span((long)part.FirstToken * _width, earlier * _width).CopyTo(_states.States(part.Slot, part.Position, earlier));
            if (earlier < part.Count)
                _hiddenOut.Span((long)(part.FirstToken + earlier) * _width, _width).CopyTo(_blocks.NextHidden(_rows[index]));
        }
    }

    /// <summary>How many of a part's tokens are earlier ones, whose states lie with their slot's.</summary>
    private int Earlier(AttentionPart part) => Math.Min(part.Count, _memory.Positions[part.Slot] - part.Position);
}
