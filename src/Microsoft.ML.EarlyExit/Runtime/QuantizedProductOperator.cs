using System.Buffers;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Google.Protobuf;
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
    private const long PartMultiplications = 1 << 16;
    private const int PartRows = 12;
    private const int MostParts = 64;

    // What a few positions need is taken from the pool, which keeps it; where more is needed, the work outweighs asking for it.
    private const long MostPooled = 1 << 20;
    private const int Alignment = 64;

    // No tensor of a bundle's graphs has more dimensions.
    private const int MostDimensions = 4;

    private static readonly NativeApi.CustomOperator* s_rows8 = Describe(Rows8, DataType.Int8, &MultiplyRows8);
    private static readonly NativeApi.CustomOperator* s_rows4 = Describe(Rows4, DataType.Uint8, &MultiplyRows4);
    private static readonly NativeApi.CustomOperator* s_panels = Describe(Panels, DataType.Int8, &MultiplyPanels);

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
        model.OpsetImport.Add(new OperatorSetIdProto { Domain = Domain, Version = 1 });
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

    private static NativeApi.CustomOperator* Describe(string name, DataType numbers, delegate* unmanaged[Cdecl]<void*, void*, void*> compute) =>
        NativeApi.Describe(name, compute, DataType.Float, DataType.Float, numbers, DataType.Float, DataType.Int64);

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
        byte[]? pooled = null;
        void* own = null;
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
            };
            if (shape[^1] != work.Width)
                return NativeApi.Failure($"The inputs of a product have {shape[^1]} values, not {work.Width}.");
            long count = 1;
            foreach (long dimension in shape[..^1])
                count *= dimension;
            int inputCount = work.InputCount = checked((int)count);
            shape[^1] = work.RowCount;
            void* failure = NativeApi.Output(context, shape, &work.Outputs);
            if (failure is not null || inputCount == 0)
                return failure;

            // Scales first: both begin where vectors are aligned.
            long scales = form == Form.Panels ? PanelKernel.ScaleCount(work.Width, inputCount) : inputCount;
            long scaleBytes = ((scales * sizeof(float)) + Alignment - 1) & -Alignment;
            long bytes = scaleBytes + form switch
            {
                Form.Panels => PanelKernel.PanelBytes(work.Width, inputCount),
                Form.Rows4 => NibbleKernel.RoundedBytes(work.Width, inputCount),
                _ => count * work.Width * sizeof(short),
            };
            if (bytes <= MostPooled)
                pooled = ArrayPool<byte>.Shared.Rent(Alignment - 1 + (int)bytes);
            else
                own = NativeMemory.AlignedAlloc(checked((nuint)bytes), Alignment);
            fixed (byte* start = pooled)
            {
                work.InputScales = own is null ? (float*)(((nint)start + Alignment - 1) & -Alignment) : (float*)own;
                work.Rounded = (byte*)work.InputScales + scaleBytes;
                return Multiply(context, &work);
            }
        }
        catch (Exception exception)
        {
            return NativeApi.Failure(exception);
        }
        finally
        {
            NativeMemory.AlignedFree(own);
            if (pooled is not null)
                ArrayPool<byte>.Shared.Return(pooled);
        }
    }

    private static void* Multiply(void* context, Work* work)
    {
        long values = (long)work->InputCount * work->Width;
        int group = work->Form == Form.Panels ? PanelKernel.InputTile : IntegerKernel.InputTile;
        void* failure = For(context, work, &RoundInputs, (work->InputCount + group - 1) / group, values >= LeastRoundedForThreads);
        if (failure is not null)
            return failure;
        long multiplications = values * work->RowCount;
        long parts = Math.Clamp(multiplications / PartMultiplications, 1, MostParts);
        int multiple = work->Form == Form.Panels ? PanelKernel.RowTile : PartRows;
        work->PartRows = (int)(((work->RowCount + parts - 1) / parts) + multiple - 1) / multiple * multiple;
        return For(context, work, &MultiplyPart, (work->RowCount + work->PartRows - 1) / work->PartRows, multiplications >= LeastForThreads);
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
    private static void RoundInputs(void* state, nuint item)
    {
        var work = (Work*)state;
        int group = (int)item;
        switch (work->Form)
        {
            case Form.Rows8:
                IntegerKernel.Round(work->Inputs, work->Width, work->InputCount, group, group + 1, (short*)work->Rounded, work->InputScales);
                break;
            case Form.Rows4:
                NibbleKernel.Round(work->Inputs, work->Width, work->InputCount, group, group + 1, (short*)work->Rounded, work->InputScales);
                break;
            default:
                PanelKernel.Pack(work->Inputs, work->Width, work->InputCount, group, group + 1, work->Rounded, work->InputScales);
                break;
        }
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
