using System.Numerics.Tensors;
using System.Runtime.CompilerServices;

namespace Microsoft.ML.EarlyExit.Exit.Pruning;

/// <summary>
/// The best k of many logits, exactly, ties to the lower id. The k-th largest value is found by bisecting the bits of floating-point numbers, which costs as
/// many vectorised counts as a number has bits, whatever k is: first of a sample, which says where few more than k are, and then of these. Nothing is sorted
/// but the k that remain.
/// </summary>
internal static class TopK
{
    // Every so many logits are a sample, or more where that would be too many.
    private const int LeastStride = 16;
    private const int LargestSample = 4096;

    // On the stack.
    private const int MostCandidates = 4096;

    /// <summary>Writes the ids of the best <paramref name="ids"/>.Length logits, in rising order of ids.</summary>
    /// <param name="logits">Finite numbers; at least as many as ids are asked for.</param>
    /// <param name="ids">The result.</param>
    public static void Select(ReadOnlySpan<float> logits, Span<int> ids)
    {
        if (ids.Length > 0 && !TrySelectOfCandidates(logits, ids))
            SelectOfAll(logits, ids);
    }

    private static void SelectOfAll(ReadOnlySpan<float> logits, Span<int> ids)
    {
        int count = ids.Length;
        float border = Border(logits, count, slack: 0);
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

    [SkipLocalsInit]
    private static bool TrySelectOfCandidates(ReadOnlySpan<float> logits, Span<int> ids)
    {
        float least = Sampled(logits, ids.Length);
        int reaching = LogitScan.CountAtLeast(logits, least);
        if (reaching < ids.Length || reaching > MostCandidates)
            return false;
        Span<int> candidates = stackalloc int[reaching];
        Span<float> values = stackalloc float[reaching];
        LogitScan.FindAtLeast(logits, least, candidates);
        for (int at = 0; at < reaching; at++)
            values[at] = logits[candidates[at]];

        // Candidates are in the order of ids, and so are their places.
        SelectOfAll(values, ids);
        foreach (ref int id in ids)
            id = candidates[id];
        return true;
    }

    /// <summary>A number that probably a few more than so many logits reach; NaN where there are too few or too many to say.</summary>
    [SkipLocalsInit]
    private static float Sampled(ReadOnlySpan<float> logits, int count)
    {
        int stride = Math.Max(LeastStride, (logits.Length + LargestSample - 1) / LargestSample);
        int size = logits.Length / stride;
        if (count < stride || count > logits.Length / 4)
            return float.NaN;
        Span<float> sample = stackalloc float[size];
        for (int at = 0; at < size; at++)
            sample[at] = logits[at * stride];

        // Three deviations more than are expected.
        int expected = count / stride;
        int wanted = Math.Min(expected + (int)(3 * Math.Sqrt(expected)) + 1, size);
        return Border(sample, wanted, slack: expected / 8);
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

    /// <summary>A number that at least so many logits reach, and up to half as many more.</summary>
    public static float NearBorder(ReadOnlySpan<float> logits, int count)
    {
        float sampled = Sampled(logits, count);
        int reaching = LogitScan.CountAtLeast(logits, sampled);
        return reaching >= count && reaching <= count + (count / 2) ? sampled : Border(logits, count, slack: count / 16);
    }

    /// <summary>A number that k logits reach, or up to <paramref name="slack"/> more; the k-th largest where equals leave no such number.</summary>
    private static float Border(ReadOnlySpan<float> logits, int k, int slack)
    {
        uint low = Order(TensorPrimitives.Min(logits));
        uint high = Order(TensorPrimitives.Max(logits));
        while (low < high)
        {
            uint middle = (uint)(((ulong)low + high + 1) / 2);
            int count = LogitScan.CountAtLeast(logits, FromOrder(middle));
            if (count < k)
            {
                high = middle - 1;
                continue;
            }

            low = middle;
            if (count <= k + slack)
                break;
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
