using System.Numerics.Tensors;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Microsoft.ML.EarlyExit.Conversion;

/// <summary>Little-endian elements, unaligned, to single precision.</summary>
internal static class Widening
{
    public static void FromSingle(ReadOnlySpan<byte> source, Span<float> destination) => source.CopyTo(MemoryMarshal.AsBytes(destination));

    public static void FromHalf(ReadOnlySpan<byte> source, Span<float> destination) =>
        TensorPrimitives.ConvertToSingle(MemoryMarshal.Cast<byte, Half>(source), destination);

    public static void FromBFloat16(ReadOnlySpan<byte> source, Span<float> destination)
    {
        ReadOnlySpan<ushort> upper = MemoryMarshal.Cast<byte, ushort>(source);
        Span<uint> bits = MemoryMarshal.Cast<float, uint>(destination);
        int i = 0;
        for (; i <= upper.Length - Vector256<ushort>.Count; i += Vector256<ushort>.Count)
        {
            (Vector256<uint> low, Vector256<uint> high) = Vector256.Widen(Vector256.Create(upper.Slice(i)));
            (low << 16).CopyTo(bits.Slice(i));
            (high << 16).CopyTo(bits.Slice(i + Vector256<uint>.Count));
        }

        for (; i < upper.Length; i++)
        {
            bits[i] = (uint)upper[i] << 16;
        }
    }
}
