using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
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
        var numbers = new ReadOnlySpan<sbyte>(source, destination.Length);
        int at = 0;
        for (; at <= numbers.Length - Vector128<sbyte>.Count; at += Vector128<sbyte>.Count)
        {
            (Vector128<short> low, Vector128<short> high) = Vector128.Widen(Vector128.Create(numbers.Slice(at)));
            (Vector128<int> first, Vector128<int> second) = Vector128.Widen(low);
            (Vector128<int> third, Vector128<int> fourth) = Vector128.Widen(high);
            Vector128.ConvertToSingle(first).CopyTo(destination.Slice(at));
            Vector128.ConvertToSingle(second).CopyTo(destination.Slice(at + Vector128<float>.Count));
            Vector128.ConvertToSingle(third).CopyTo(destination.Slice(at + (2 * Vector128<float>.Count)));
            Vector128.ConvertToSingle(fourth).CopyTo(destination.Slice(at + (3 * Vector128<float>.Count)));
        }

        for (; at < numbers.Length; at++)
            destination[at] = numbers[at];
    }

    public override void Narrow(ReadOnlySpan<float> source, Span<byte> destination)
    {
        Span<sbyte> numbers = MemoryMarshal.Cast<byte, sbyte>(destination);
        for (int at = 0; at < source.Length; at++)
            numbers[at] = (sbyte)Math.Clamp(MathF.Round(source[at]), Least, Most);
    }
}
