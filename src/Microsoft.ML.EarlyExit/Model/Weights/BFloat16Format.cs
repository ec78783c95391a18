using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using DataType = Microsoft.ML.EarlyExit.Onnx.TensorProto.Types.DataType;

namespace Microsoft.ML.EarlyExit.Model.Weights;

/// <summary>The upper half of an IEEE single.</summary>
internal sealed unsafe class BFloat16Format : WeightFormat
{
    private const int LowerBits = 16;
    private const uint Mantissa = 0x007F;
    private const uint QuietBit = 0x0040;

    public override WeightPrecision Precision => WeightPrecision.BFloat16;

    public override string Name => "bf16";

    public override int ElementBits => 8 * sizeof(ushort);

    public override DataType OnnxType => DataType.Bfloat16;

    public override void Widen(byte* source, Span<float> destination) => Widen(new ReadOnlySpan<ushort>(source, destination.Length), destination);

    /// <summary>The same of elements that may lie anywhere.</summary>
    public static void Widen(ReadOnlySpan<ushort> source, Span<float> destination)
    {
        Span<uint> bits = MemoryMarshal.Cast<float, uint>(destination);
        int at = 0;
        for (; at <= source.Length - Vector256<ushort>.Count; at += Vector256<ushort>.Count)
        {
            (Vector256<uint> low, Vector256<uint> high) = Vector256.Widen(Vector256.Create(source.Slice(at)));
            (low << LowerBits).CopyTo(bits.Slice(at));
            (high << LowerBits).CopyTo(bits.Slice(at + Vector256<uint>.Count));
        }

        for (; at < source.Length; at++)
            bits[at] = (uint)source[at] << LowerBits;
    }

    public override void Narrow(ReadOnlySpan<float> source, Span<byte> destination)
    {
        ReadOnlySpan<uint> bits = MemoryMarshal.Cast<float, uint>(source);
        Span<ushort> upper = MemoryMarshal.Cast<byte, ushort>(destination)[..bits.Length];
        for (int at = 0; at < upper.Length; at++)
            upper[at] = Narrow(bits[at]);
    }

    private static ushort Narrow(uint bits)
    {
        uint upper = bits >> LowerBits;
        if (float.IsNaN(BitConverter.UInt32BitsToSingle(bits)))
            // One that fits stays as it is; one whose upper half would be an infinity stays a NaN.
            return (ushort)((upper & Mantissa) == 0 ? upper | QuietBit : upper);

        // Half of the last bit, less one where that bit is 0: a tie then ends at the even neighbour.
        return (ushort)((bits + 0x7FFF + (upper & 1)) >> LowerBits);
    }
}
