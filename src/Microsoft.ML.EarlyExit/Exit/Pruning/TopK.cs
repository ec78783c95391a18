using System.Numerics.Tensors;

namespace Microsoft.ML.EarlyExit.Exit.Pruning;

/// <summary>
/// The best k of many logits, exactly, ties to the lower id. The k-th largest value is found by bisecting the bits of floating-point numbers, which costs as
/// many vectorised counts as a number has bits, whatever k is; nothing is sorted but the k that remain.
/// </summary>
internal static class TopK
{
    /// <summary>Writes the ids of the best <paramref name="ids"/>.Length logits, in rising order of ids.</summary>
    /// <param name="logits">Finite numbers; at least as many as ids are asked for.</param>
    /// <param name="ids">The result.</param>
    public static void Select(ReadOnlySpan<float> logits, Span<int> ids)
    {
        int count = ids.Length;
        if (count == 0)
            return;
        float border = KthLargest(logits, count);
        if (LogitScan.CountAtLeast(logits, border) == count)
        {
            LogitScan.FindAtLeast(logits, border, ids);
            return;
        }

        int ties = count - CountAbove(logits, border);
        int at = 0;
        for (int id = 0; id < logits.Length && at < count; id++)
        {
            if (logits[id] > border || (logits[id] == border && ties-- > 0))
                ids[at++] = id;
        }
    }

    /// <summary>Orders ids by their logits, the best first, equals by rising id.</summary>
    /// <param name="logits">Logits of all ids.</param>
    /// <param name="ids">The ids to order, rising.</param>
    /// <param name="keys">Scratch of the same length.</param>
    public static void Rank(ReadOnlySpan<float> logits, Span<int> ids, Span<ulong> keys)
    {
        for (int index = 0; index < ids.Length; index++)
            keys[index] = ((ulong)~Order(logits[ids[index]]) << 32) | (uint)ids[index];
        keys.Sort();
        for (int index = 0; index < ids.Length; index++)
            ids[index] = (int)(uint)keys[index];
    }

    private static float KthLargest(ReadOnlySpan<float> logits, int k)
    {
        // The largest number of which at least k logits are as large or larger.
        uint low = Order(TensorPrimitives.Min(logits));
        uint high = Order(TensorPrimitives.Max(logits));
        while (low < high)
        {
            uint middle = (uint)(((ulong)low + high + 1) / 2);
            if (LogitScan.CountAtLeast(logits, FromOrder(middle)) >= k)
                low = middle;
            else
                high = middle - 1;
        }

        return FromOrder(low);
    }

    /// <summary>A number that orders as the floating-point numbers do; both zeros are the same.</summary>
    private static uint Order(float value)
    {
        uint bits = BitConverter.SingleToUInt32Bits(value == 0 ? 0f : value);
        return (bits & 0x8000_0000) != 0 ? ~bits : bits | 0x8000_0000;
    }

    private static float FromOrder(uint order) =>
        BitConverter.UInt32BitsToSingle((order & 0x8000_0000) != 0 ? order & 0x7FFF_FFFF : ~order);

    private static int CountAbove(ReadOnlySpan<float> logits, float border) =>
        border == float.MaxValue ? 0 : LogitScan.CountAtLeast(logits, float.BitIncrement(border));
}
