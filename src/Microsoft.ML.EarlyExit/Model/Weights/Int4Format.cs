using DataType = Microsoft.ML.EarlyExit.Onnx.TensorProto.Types.DataType;

namespace Microsoft.ML.EarlyExit.Model.Weights;

/// <summary>Whole numbers from -8 to 7 in two's complement, two to a byte, the first of them in its lower half.</summary>
internal sealed unsafe class Int4Format : WeightFormat
{
    public const int Least = -8;
    public const int Most = 7;

    private const int LowerHalf = 0x0F;

    public override WeightPrecision Precision => WeightPrecision.Int4;

    public override string Name => "int4";

    public override int ElementBits => 4;

    public override bool HasScales => true;

    public override DataType OnnxType => DataType.Int4;

    public override void Widen(byte* source, Span<float> destination)
    {
        for (int at = 0; at < destination.Length; at++)
        {
            // Moved to the upper end of 32 bits, from where the shift back carries the sign.
            int moved = source[at / 2] << ((at & 1) == 0 ? 28 : 24);
            destination[at] = moved >> 28;
        }
    }

    public override void Narrow(ReadOnlySpan<float> source, Span<byte> destination)
    {
        for (int at = 0; at < source.Length; at += 2)
            destination[at / 2] = (byte)((Number(source[at]) & LowerHalf) | (at + 1 < source.Length ? Number(source[at + 1]) << 4 : 0));
    }

    private static int Number(float value) => (int)Math.Clamp(MathF.Round(value), Least, Most);
}
