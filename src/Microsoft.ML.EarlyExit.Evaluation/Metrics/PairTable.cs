using System.Runtime.CompilerServices;

namespace Microsoft.ML.EarlyExit.Evaluation.Metrics;

/// <summary>Numbers different pairs of numbers from 0.</summary>
internal sealed class PairTable
{
    // A random odd factor, so that no text can be made whose pairs all fall into one slot.
    private readonly ulong _factor = (ulong)Random.Shared.NextInt64() | 1;
    private Slot[] _slots = new Slot[256];
    private int _shift = 64 - 8;

    // Slots of an older round are free: forgetting costs nothing.
    private int _round = 1;

    private record struct Slot(long Key, int Id, int Round);

    /// <summary>How many different pairs there are.</summary>
    public int Count { get; private set; }

    /// <summary>How many slots are held, to tell when a large text has blown the table up.</summary>
    public int Capacity => _slots.Length;

    /// <summary>Forgets all pairs.</summary>
    public void Clear()
    {
        Count = 0;
        if (++_round == int.MaxValue)
        {
            Array.Clear(_slots);
            _round = 1;
        }
    }

    /// <summary>The number of a pair, a new one where it has none yet.</summary>
    public int Add(int first, int second)
    {
        long key = Key(first, second);
        ref Slot slot = ref Place(key);
        if (slot.Round != _round)
        {
            if (2 * Count >= _slots.Length)
            {
                Grow();
                slot = ref Place(key);
            }

            slot = new(key, Count++, _round);
        }

        return slot.Id;
    }

    /// <summary>The number of a pair, -1 where it has none.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public int Find(int first, int second)
    {
        ref Slot slot = ref Place(Key(first, second));
        return slot.Round == _round ? slot.Id : -1;
    }

    private static long Key(int first, int second) => ((long)first << 32) | (uint)second;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private ref Slot Place(long key)
    {
        Slot[] slots = _slots;
        int at = (int)(((ulong)key * _factor) >> _shift);
        while (slots[at].Round == _round && slots[at].Key != key)
            at = (at + 1) & (slots.Length - 1);
        return ref slots[at];
    }

    private void Grow()
    {
        Slot[] old = _slots;
        _slots = new Slot[checked(2 * old.Length)];
        _shift--;
        foreach (Slot slot in old)
        {
            if (slot.Round == _round)
                Place(slot.Key) = slot;
        }
    }
}
