using System.Runtime.InteropServices;
using DataType = Microsoft.ML.EarlyExit.Onnx.TensorProto.Types.DataType;

namespace Microsoft.ML.EarlyExit.Model.Weights;

/// <summary>Whole numbers from -127 to 127, a signed byte each.</summary>
internal sealed unsafe class Int8Format : WeightFormat
{
    public const int Least = -127;
    public const int Most = 127;

    public override WeightPrecision Precision => WeightPrecision.Int8;

    public override string Name => "int8";

    public override int ElementBits => 8;

    public override bool HasScales => true;

    public override DataType OnnxType => DataType.Int8;

    public override void Widen(byte* source, Span<float> destination)
    {
        for (int at = 0; at < destination.Length; at++)
            destination[at] = ((sbyte*)source)[at];
    }

    public override void Narrow(ReadOnlySpan<float> source, Span<byte> destination)
    {
        Span<sbyte> numbers = MemoryMarshal.Cast<byte, sbyte>(destination);
        for (int at = 0; at < source.Length; at++)
            numbers[at] = (sbyte)Math.Clamp(MathF.Round(source[at]), Least, Most);
    }
}
