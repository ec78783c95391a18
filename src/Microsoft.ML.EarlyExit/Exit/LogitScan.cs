using System.Numerics.Tensors;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Microsoft.ML.EarlyExit.Exit;

/// <summary>Looks through many logits for the few that matter.</summary>
internal static class LogitScan
{
    /// <summary>Where the largest number is, the first of equals; -1 where that is a NaN or an infinity.</summary>
    public static int ArgMax(ReadOnlySpan<float> values)
    {
        int best = TensorPrimitives.IndexOfMax(values);
        return best >= 0 && float.IsFinite(values[best]) ? best : -1;
    }

    /// <summary>How many numbers come before that at a place: larger ones, and equals at earlier places.</summary>
    public static int Rank(ReadOnlySpan<float> values, int place) =>
        CountAtLeast(values[..place], values[place]) + CountAtLeast(values[(place + 1)..], MathF.BitIncrement(values[place]));

    /// <summary>How many numbers are at least as large as a border.</summary>
    public static int CountAtLeast(ReadOnlySpan<float> values, float border)
    {
        int count = 0;
        int at = 0;
        ref float first = ref MemoryMarshal.GetReference(values);
        if (Vector512.IsHardwareAccelerated)
        {
            Vector512<float> borders = Vector512.Create(border);
            Vector512<int> counts = Vector512<int>.Zero;

            // A true comparison is -1 in every lane; a lane cannot overflow, as there are no more than int.MaxValue numbers.
            for (; at + Vector512<float>.Count <= values.Length; at += Vector512<float>.Count)
                counts -= Vector512.GreaterThanOrEqual(Vector512.LoadUnsafe(ref first, (nuint)at), borders).AsInt32();
            count = Vector512.Sum(counts);
        }
        else if (Vector256.IsHardwareAccelerated)
        {
            Vector256<float> borders = Vector256.Create(border);
            Vector256<int> counts = Vector256<int>.Zero;
            for (; at + Vector256<float>.Count <= values.Length; at += Vector256<float>.Count)
                counts -= Vector256.GreaterThanOrEqual(Vector256.LoadUnsafe(ref first, (nuint)at), borders).AsInt32();
            count = Vector256.Sum(counts);
        }

        for (; at < values.Length; at++)
        {
            if (values[at] >= border)
                count++;
        }

        return count;
    }

    /// <summary>Writes the places of numbers at least as large as a border, in order.</summary>
    /// <param name="values">The numbers.</param>
    /// <param name="border">The border.</param>
    /// <param name="places">The result; must have room for all of them.</param>
    /// <returns>How many there are.</returns>
    public static int FindAtLeast(ReadOnlySpan<float> values, float border, Span<int> places)
    {
        int count = 0;
        int at = 0;
        ref float first = ref MemoryMarshal.GetReference(values);
        if (Vector512.IsHardwareAccelerated)
        {
            Vector512<float> borders = Vector512.Create(border);
            for (; at + Vector512<float>.Count <= values.Length; at += Vector512<float>.Count)
            {
                ulong found = Vector512.GreaterThanOrEqual(Vector512.LoadUnsafe(ref first, (nuint)at), borders).ExtractMostSignificantBits();
                for (; found != 0; found &= found - 1)
                    places[count++] = at + (int)ulong.TrailingZeroCount(found);
            }
        }
        else if (Vector256.IsHardwareAccelerated)
        {
            Vector256<float> borders = Vector256.Create(border);
            for (; at + Vector256<float>.Count <= values.Length; at += Vector256<float>.Count)
            {
                uint found = Vector256.GreaterThanOrEqual(Vector256.LoadUnsafe(ref first, (nuint)at), borders).ExtractMostSignificantBits();
                for (; found != 0; found &= found - 1)
                    places[count++] = at + (int)uint.TrailingZeroCount(found);
            }
        }

        for (; at < values.Length; at++)
        {
            if (values[at] >= border)
                places[count++] = at;
        }

        return count;
    }

    /// <summary>The two largest numbers whose places are not listed; -∞ where there are fewer.</summary>
    /// <param name="values">The numbers, none of them NaN.</param>
    /// <param name="without">Places, rising.</param>
    public static (float Largest, float Second) TwoLargest(ReadOnlySpan<float> values, ReadOnlySpan<int> without)
    {
        float largest = float.NegativeInfinity;
        float second = float.NegativeInfinity;
        int start = 0;
        for (int index = 0; index <= without.Length; index++)
        {
            int end = index < without.Length ? without[index] : values.Length;
            TakeTwoLargest(values[start..end], ref largest, ref second);
            start = end + 1;
        }

        return (largest, second);
    }

    private static void TakeTwoLargest(ReadOnlySpan<float> values, ref float largest, ref float second)
    {
        int at = 0;
        ref float first = ref MemoryMarshal.GetReference(values);

        // Every lane keeps its own two.
        if (Vector512.IsHardwareAccelerated && values.Length >= Vector512<float>.Count)
        {
            Vector512<float> most = Vector512.Create(float.NegativeInfinity);
            Vector512<float> next = most;
            for (; at + Vector512<float>.Count <= values.Length; at += Vector512<float>.Count)
            {
                Vector512<float> value = Vector512.LoadUnsafe(ref first, (nuint)at);
                next = Vector512.MaxNative(next, Vector512.MinNative(most, value));
                most = Vector512.MaxNative(most, value);
            }

            for (int lane = 0; lane < Vector512<float>.Count; lane++)
            {
                Take(most[lane], ref largest, ref second);
                Take(next[lane], ref largest, ref second);
            }
        }
        else if (Vector256.IsHardwareAccelerated && values.Length >= Vector256<float>.Count)
        {
            Vector256<float> most = Vector256.Create(float.NegativeInfinity);
            Vector256<float> next = most;
            for (; at + Vector256<float>.Count <= values.Length; at += Vector256<float>.Count)
            {
                Vector256<float> value = Vector256.LoadUnsafe(ref first, (nuint)at);
                next = Vector256.MaxNative(next, Vector256.MinNative(most, value));
                most = Vector256.MaxNative(most, value);
            }

            for (int lane = 0; lane < Vector256<float>.Count; lane++)
            {
                Take(most[lane], ref largest, ref second);
                Take(next[lane], ref largest, ref second);
            }
        }

        for (; at < values.Length; at++)
            Take(values[at], ref largest, ref second);

        static void Take(float value, ref float largest, ref float second)
        {
            if (value > largest)
                (largest, second) = (value, largest);
            else if (value > second)
                second = value;
        }
    }
}
