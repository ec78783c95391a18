using System.Runtime.InteropServices;
using DataType = Microsoft.ML.EarlyExit.Onnx.TensorProto.Types.DataType;

namespace Microsoft.ML.EarlyExit.Model.Weights;

/// <summary>IEEE single precision.</summary>
internal sealed unsafe class Float32Format : WeightFormat
{
    public override WeightPrecision Precision => WeightPrecision.Float32;

    public override string Name => "fp32";

    public override int ElementBits => 8 * sizeof(float);

    public override DataType OnnxType => DataType.Float;

    public override void Widen(byte* source, Span<float> destination) => new ReadOnlySpan<float>(source, destination.Length).CopyTo(destination);

    public override void Narrow(ReadOnlySpan<float> source, Span<byte> destination) => MemoryMarshal.AsBytes(source).CopyTo(destination);
}
