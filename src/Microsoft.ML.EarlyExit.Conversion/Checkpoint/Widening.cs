using System.Numerics.Tensors;
using System.Runtime.InteropServices;
using Microsoft.ML.EarlyExit.Model.Weights;

namespace Microsoft.ML.EarlyExit.Conversion.Checkpoint;

/// <summary>Little-endian elements, unaligned, to single precision.</summary>
internal static class Widening
{
    public static void FromSingle(ReadOnlySpan<byte> source, Span<float> destination) => source.CopyTo(MemoryMarshal.AsBytes(destination));

    public static void FromHalf(ReadOnlySpan<byte> source, Span<float> destination) =>
        TensorPrimitives.ConvertToSingle(MemoryMarshal.Cast<byte, Half>(source), destination);

    public static void FromBFloat16(ReadOnlySpan<byte> source, Span<float> destination) =>
        BFloat16Format.Widen(MemoryMarshal.Cast<byte, ushort>(source), destination);
}
