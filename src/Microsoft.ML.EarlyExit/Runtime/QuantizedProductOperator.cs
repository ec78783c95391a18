using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Google.Protobuf;
using Microsoft.ML.EarlyExit.Memory;
using Microsoft.ML.EarlyExit.Model.Bundle;
using Microsoft.ML.EarlyExit.Model.Weights;
using Microsoft.ML.EarlyExit.Numerics;
using Microsoft.ML.EarlyExit.Onnx;
using Microsoft.ML.OnnxRuntime;
using DataType = Microsoft.ML.EarlyExit.Onnx.TensorProto.Types.DataType;

namespace Microsoft.ML.EarlyExit.Runtime;

/// <summary>
/// Products with matrices of whole numbers and scales, read as the bundle has them, as operators of ONNX Runtime that call managed kernels on the runtime's
/// threads. Graphs of bundles widen such a matrix and multiply it in single precision, for other tools; <see cref="Replace"/> puts these in their place.
/// </summary>
/// <remarks>
/// Inputs: [.., K]; numbers [N, K]; scales [N, K / block]; N, K and block as int64 [3]. Output: [.., N]. A position's products do not depend on the others.
/// </remarks>
internal sealed unsafe class QuantizedProductOperator : IDisposable
{
    private const string Domain = "microsoft.ml.earlyexit.products";
    private const string Rows8 = "Rows8Product";
    private const string Rows4 = "Rows4Product";
    private const string Panels = "PanelsProduct";
    private const string SizesSuffix = "/sizes";

    // Below so many multiplications, or values to round, waking threads costs more than the work.
    private const long LeastForThreads = 1 << 17;
    private const long LeastRoundedForThreads = 1 << 16;

    // A part takes a few microseconds at least, and whole groups of the kernels' rows.
    private const long PartMultiplications = 1 << 17;
    private const int PartRows = 12;
    private const int MostParts = 64;

    // Scratch memory that a thread keeps; where more is needed, the work outweighs asking for it.
    private const long KeptBytes = 1 << 20;

    // No tensor of a bundle's graphs has more dimensions.
    private const int MostDimensions = 4;

    private static readonly NativeApi.CustomOperator* s_rows8 = NativeApi.DescribeProduct(Rows8, isSigned: true, &MultiplyRows8);
    private static readonly NativeApi.CustomOperator* s_rows4 = NativeApi.DescribeProduct(Rows4, isSigned: false, &MultiplyRows4);
    private static readonly NativeApi.CustomOperator* s_panels = NativeApi.DescribeProduct(Panels, isSigned: true, &MultiplyPanels);

    [ThreadStatic]
    private static NativeBuffer? s_scratch;

    private readonly nint _domain = NativeApi.CreateDomain(Domain, s_rows8, s_rows4, s_panels);

    /// <summary>Offers the operators to a session.</summary>
    public void AddTo(SessionOptions options) => NativeApi.AddDomain(options, _domain);

    /// <summary>Puts these operators in the place of products whose matrix the graph makes of whole numbers.</summary>
    /// <returns>Whether there were any.</returns>
    public static bool Replace(ModelProto model)
    {
        GraphProto graph = model.Graph;
        var scaled = graph.Node.Where(node => node.Name.EndsWith(GraphContract.DequantizedSuffix, StringComparison.Ordinal))
            .ToDictionary(node => node.Output[0], StringComparer.Ordinal);
        if (scaled.Count == 0)
            return false;
        var turned = graph.Node.Where(node => node.Input.Count > 0 && scaled.ContainsKey(node.Input[0])).ToDictionary(node => node.Output[0]);
        var initializers = graph.Initializer.ToDictionary(initializer => initializer.Name, StringComparer.Ordinal);
        foreach (NodeProto product in graph.Node.Where(node => node.OpType == "MatMul" && turned.ContainsKey(node.Input[1])))
        {
            NodeProto dequantized = scaled[turned[product.Input[1]].Input[0]];
            TensorProto numbers = initializers[dequantized.Input[0]], scales = initializers[dequantized.Input[1]];
            string sizes = numbers.Name + SizesSuffix;
            if (!initializers.ContainsKey(sizes))
            {
                TensorProto constant = Sizes(sizes, numbers, scales);
                initializers.Add(sizes, constant);
                graph.Initializer.Add(constant);
            }

            product.OpType = numbers.DataType != (int)DataType.Int8 ? Rows4
                : scales.Dims[1] == 1 && StoredTypes.IsForManyPositions(numbers.Name) ? Panels : Rows8;
            product.Domain = Domain;
            product.Input.RemoveAt(1);
            product.Input.AddRange([numbers.Name, scales.Name, sizes]);
        }

        foreach (NodeProto node in scaled.Values.Concat(turned.Values))
            graph.Node.Remove(node);
        foreach (TensorProto packed in scaled.Values.Select(node => initializers[node.Input[0]]).Where(one => one.DataType == (int)DataType.Int4))
        {
            // The runtime's values have no type of four bits.
            packed.DataType = (int)DataType.Uint8;
            packed.Dims[1] /= 2;
        }

        return true;
    }

    /// <summary>To be called after the sessions that were offered the operators are disposed.</summary>
    public void Dispose() => NativeApi.ReleaseDomain(_domain);

    private static TensorProto Sizes(string name, TensorProto numbers, TensorProto scales)
    {
        long[] sizes = [numbers.Dims[0], numbers.Dims[1], numbers.Dims[1] / scales.Dims[1]];
        return new TensorProto
        {
            Name = name,
            DataType = (int)DataType.Int64,
            Dims = { sizes.Length },
            RawData = ByteString.CopyFrom(MemoryMarshal.AsBytes<long>(sizes)),
        };
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void* MultiplyRows8(void* kernel, void* context) => Run(context, Form.Rows8);

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void* MultiplyRows4(void* kernel, void* context) => Run(context, Form.Rows4);

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void* MultiplyPanels(void* kernel, void* context) => Run(context, Form.Panels);

    private static void* Run(void* context, Form form)
    {
        NativeBuffer? own = null;
        try
        {
            Span<long> shape = stackalloc long[MostDimensions];
            shape = shape[..NativeApi.Shape(context, 0, shape)];
            long* sizes = (long*)NativeApi.Input(context, 3);
            var work = new Work
            {
                Form = form,
                Inputs = (float*)NativeApi.Input(context, 0),
                Numbers = NativeApi.Input(context, 1),
                Scales = (float*)NativeApi.Input(context, 2),
                RowCount = (int)sizes[0],
                Width = (int)sizes[1],
                Block = (int)sizes[2],
                InputCount = 1,
            };
            foreach (long dimension in shape[..^1])
                work.InputCount = checked((int)(work.InputCount * dimension));
            shape[^1] = work.RowCount;
            void* failure = NativeApi.Output(context, shape, &work.Outputs);
            if (failure is not null || work.InputCount == 0)
                return failure;

            long values = (long)work.InputCount * work.Width;
            long roundedBytes = form switch
            {
                Form.Rows8 => values * sizeof(short),
                // As they are rounded, and as they are arranged.
                Form.Rows4 => 2 * values * sizeof(short),
                _ => PanelKernel.PanelBytes(work.Width, work.InputCount),
            };
            long scales = form == Form.Panels ? PanelKernel.ScaleCount(work.Width, work.InputCount) : work.InputCount;
            // Scales first: both begin where vectors are aligned.
            long scaleBytes = ((scales * sizeof(float)) + 63) & ~63;
            NativeBuffer scratch = scaleBytes + roundedBytes > KeptBytes ? own = new NativeBuffer(scaleBytes + roundedBytes) : s_scratch ??= new(KeptBytes);
            work.InputScales = (float*)scratch.Address;
            work.Rounded = (byte*)scratch.Address + scaleBytes;

            int rounds = form == Form.Panels ? (work.InputCount + PanelKernel.InputTile - 1) / PanelKernel.InputTile : work.InputCount;
            failure = For(context, &work, &RoundInput, rounds, values >= LeastRoundedForThreads);
            if (failure is not null)
                return failure;
            long multiplications = values * work.RowCount;
            long parts = Math.Clamp(multiplications / PartMultiplications, 1, MostParts);
            work.PartRows = (int)(((work.RowCount + parts - 1) / parts) + PartRows - 1) / PartRows * PartRows;
            return For(context, &work, &MultiplyPart, (work.RowCount + work.PartRows - 1) / work.PartRows, multiplications >= LeastForThreads);
        }
        catch (Exception exception) when (exception is OutOfMemoryException or OverflowException)
        {
            return NativeApi.Failure(exception.Message);
        }
        finally
        {
            own?.Dispose();
        }
    }

    private static void* For(void* context, Work* work, delegate* unmanaged[Cdecl]<void*, nuint, void> body, int count, bool onThreads)
    {
        if (onThreads && count > 1)
            return NativeApi.ParallelFor(context, body, (nuint)count, work);
        for (int item = 0; item < count; item++)
            body(work, (nuint)item);
        return null;
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void RoundInput(void* state, nuint item)
    {
        var work = (Work*)state;
        int width = work->Width;
        if (work->Form == Form.Panels)
        {
            PanelKernel.Pack(work->Inputs, width, work->InputCount, (int)item, (int)item + 1, work->Rounded, work->InputScales);
            return;
        }

        var input = new ReadOnlySpan<float>(work->Inputs + ((long)item * width), width);
        var rounded = new Span<short>((short*)work->Rounded + ((long)item * width), width);
        if (work->Form == Form.Rows8)
        {
            work->InputScales[item] = IntegerKernel.Round(input, rounded);
            return;
        }

        var unarranged = new Span<short>((short*)work->Rounded + ((work->InputCount + (long)item) * width), width);
        work->InputScales[item] = IntegerKernel.Round(input, unarranged);
        NibbleKernel.Arrange(unarranged, rounded);
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void MultiplyPart(void* state, nuint part)
    {
        var work = (Work*)state;
        int first = (int)part * work->PartRows;
        int end = Math.Min(first + work->PartRows, work->RowCount);
        switch (work->Form)
        {
            case Form.Rows8:
                IntegerKernel.Multiply(
                    (sbyte*)work->Numbers, work->Scales, work->Width, work->Block, first, end, (short*)work->Rounded, work->InputScales, work->InputCount,
                    work->Outputs, work->RowCount);
                break;
            case Form.Rows4:
                NibbleKernel.Multiply(
                    (byte*)work->Numbers, work->Scales, work->Width, work->Block, first, end, (short*)work->Rounded, work->InputScales, work->InputCount,
                    work->Outputs, work->RowCount);
                break;
            default:
                PanelKernel.Multiply(
                    (sbyte*)work->Numbers, work->Scales, work->Width, first, end, work->Rounded, work->InputScales, work->InputCount, work->Outputs,
                    work->RowCount);
                break;
        }
    }

    private enum Form
    {
        Rows8,
        Rows4,
        Panels,
    }

    private struct Work
    {
        public Form Form;
        public float* Inputs;
        public void* Numbers;
        public float* Scales;
        public int RowCount;
        public int Width;
        public int Block;
        public int InputCount;
        public byte* Rounded;
        public float* InputScales;
        public float* Outputs;
        public int PartRows;
    }
}
