using System.Buffers;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Google.Protobuf;
using Microsoft.ML.EarlyExit.Onnx;
using Microsoft.ML.OnnxRuntime;
using DataType = Microsoft.ML.EarlyExit.Onnx.TensorProto.Types.DataType;

namespace Microsoft.ML.EarlyExit.Runtime;

/// <summary>
/// Attention over whole sequences as one operator of ONNX Runtime that calls a managed kernel on the runtime's threads. Graphs of bundles write it in standard
/// operators, for other tools: those copy queries, keys and values into heads on one thread, and have all scores in memory; <see cref="Replace"/> puts this in
/// their place.
/// </summary>
/// <remarks>
/// Inputs: queries [batch, queries, heads · head]; keys and values side by side [batch, keys, 2 · heads · head]; bias [batch or 1, heads or 1, queries or 1,
/// keys]; the number of heads as int64 [1]. Output: [batch, queries, heads · head].
/// </remarks>
internal sealed unsafe class SequenceAttentionOperator : IDisposable
{
    private const string Domain = "microsoft.ml.earlyexit.sequences";
    private const string Operator = "SequenceAttention";
    private const string HeadsSuffix = "/heads";
    private const int Dimensions = 3;
    private const int BiasDimensions = 4;
    private const int Alignment = 64;

    // Below this many multiplications waking threads costs more than the work.
    private const long LeastForThreads = 1 << 16;

    private static readonly NativeApi.CustomOperator* s_operator =
        NativeApi.Describe(Operator, &Compute, DataType.Float, DataType.Float, DataType.Float, DataType.Float, DataType.Int64);

    private readonly nint _domain = NativeApi.CreateDomain(Domain, s_operator);

    /// <summary>Offers the operator to a session.</summary>
    public void AddTo(SessionOptions options) => NativeApi.AddDomain(options, _domain);

    /// <summary>Puts this operator in the place of attention in standard operators.</summary>
    /// <returns>Whether there was any.</returns>
    public static bool Replace(ModelProto model)
    {
        GraphProto graph = model.Graph;
        var pattern = new AttentionPattern(graph);
        var found = graph.Node.Where(node => node.OpType == "Softmax").Select(pattern.Match).OfType<AttentionPattern.Found>().ToList();
        if (found.Count == 0)
            return false;
        model.OpsetImport.Add(new OperatorSetIdProto { Domain = Domain, Version = 1 });
        foreach (AttentionPattern.Found attention in found)
        {
            NodeProto last = attention.Last;
            long[] heads = [attention.Heads];
            var constant = new TensorProto
            {
                Name = last.Name + HeadsSuffix,
                DataType = (int)DataType.Int64,
                Dims = { 1 },
                RawData = ByteString.CopyFrom(MemoryMarshal.AsBytes<long>(heads)),
            };
            graph.Initializer.Add(constant);
            last.OpType = Operator;
            last.Domain = Domain;
            last.Attribute.Clear();
            last.Input.Clear();
            last.Input.AddRange([attention.Queries, attention.KeysValues, attention.Bias, constant.Name]);
            foreach (NodeProto node in attention.Others)
                graph.Node.Remove(node);
        }

        var used = graph.Node.SelectMany(node => node.Input).ToHashSet(StringComparer.Ordinal);
        foreach (TensorProto shape in pattern.Shapes.Where(shape => !used.Contains(shape.Name)))
            graph.Initializer.Remove(shape);
        return true;
    }

    /// <summary>To be called after the sessions that were offered the operator are disposed.</summary>
    public void Dispose() => NativeApi.ReleaseDomain(_domain);

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void* Compute(void* kernel, void* context)
    {
        try
        {
            return Run(context);
        }
        catch (Exception exception)
        {
            return NativeApi.Failure(exception);
        }
    }

    private static void* Run(void* context)
    {
        Span<long> queries = stackalloc long[Dimensions], keysValues = stackalloc long[Dimensions], bias = stackalloc long[BiasDimensions];
        long heads = *(long*)NativeApi.Input(context, 3);
        if (NativeApi.Shape(context, 0, queries) != Dimensions || NativeApi.Shape(context, 1, keysValues) != Dimensions
            || NativeApi.Shape(context, 2, bias) != BiasDimensions || heads < 1 || queries[2] % heads != 0 || keysValues[2] != 2 * queries[2]
            || keysValues[0] != queries[0] || bias[3] != keysValues[1] || !Fits(bias[0], queries[0]) || !Fits(bias[1], heads) || !Fits(bias[2], queries[1]))
        {
            return NativeApi.Failure(
                $"Attention of {heads} heads cannot take queries [{Text(queries)}], keys and values [{Text(keysValues)}] and bias [{Text(bias)}].");
        }

        var work = new Work
        {
            Queries = (float*)NativeApi.Input(context, 0),
            KeysValues = (float*)NativeApi.Input(context, 1),
            Bias = (float*)NativeApi.Input(context, 2),
            Heads = (int)heads,
            Width = (int)(queries[2] / heads),
            QueryCount = (int)queries[1],
            KeyCount = (int)keysValues[1],
            Blocks = (int)((queries[1] + SequenceAttentionKernel.QueryBlock - 1) / SequenceAttentionKernel.QueryBlock),
            BiasQueryStride = bias[2] == 1 ? 0 : (int)bias[3],
            BiasHeadStride = bias[1] == 1 ? 0 : bias[2] * bias[3],
            BiasRowStride = bias[0] == 1 ? 0 : bias[1] * bias[2] * bias[3],
        };
        void* failure = NativeApi.Output(context, queries, &work.Output);
        long items = queries[0] * heads * work.Blocks;
        if (failure is not null || items == 0)
            return failure;
        // No keys give no sums to divide by; no graph asks for that.
        if (work.KeyCount == 0)
            return NativeApi.Failure("Attention has no keys.");
        bool onThreads = queries[0] * queries[1] * queries[2] * keysValues[1] >= LeastForThreads;
        if (onThreads)
            failure = NativeApi.ParallelFor(context, &AttendItem, (nuint)items, &work);
        for (long item = 0; item < items && !onThreads; item++)
            Attend(&work, item);
        return failure is null && work.HasFailed ? NativeApi.OutOfMemory() : failure;
    }

    private static bool Fits(long dimension, long whole) => dimension == whole || dimension == 1;

    private static string Text(ReadOnlySpan<long> dimensions) => string.Join(", ", dimensions.ToArray());

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void AttendItem(void* work, nuint item) => Attend((Work*)work, (long)item);

    /// <summary>One block of queries of one head: nothing that another item writes.</summary>
    private static void Attend(Work* work, long item)
    {
        int block = (int)(item % work->Blocks);
        int head = (int)(item / work->Blocks % work->Heads);
        long row = item / work->Blocks / work->Heads;
        int inner = work->Heads * work->Width;
        int first = block * SequenceAttentionKernel.QueryBlock;
        long query = (((row * work->QueryCount) + first) * inner) + (head * work->Width);
        float* keys = work->KeysValues + (row * work->KeyCount * 2 * inner) + (head * work->Width);
        var part = new SequenceAttentionPart
        {
            Queries = work->Queries + query,
            Keys = keys,
            Values = keys + inner,
            Bias = work->Bias + (row * work->BiasRowStride) + (head * work->BiasHeadStride) + ((long)first * work->BiasQueryStride),
            Output = work->Output + query,
            QueryCount = Math.Min(SequenceAttentionKernel.QueryBlock, work->QueryCount - first),
            KeyCount = work->KeyCount,
            Width = work->Width,
            QueryStride = inner,
            KeyStride = 2 * inner,
            BiasStride = work->BiasQueryStride,
        };
        float[]? scratch = null;
        try
        {
            // Vectors that lie across two cache lines take twice as long.
            scratch = ArrayPool<float>.Shared.Rent(SequenceAttentionKernel.ScratchLength(work->Width) + (Alignment / sizeof(float)));
            fixed (float* start = scratch)
                SequenceAttentionKernel.Attend(part, (float*)(((nint)start + Alignment - 1) & -Alignment));
        }
        catch (OutOfMemoryException)
        {
            // Nothing else here fails, and nothing may leave a function that native code calls.
            work->HasFailed = true;
        }
        finally
        {
            if (scratch is not null)
                ArrayPool<float>.Shared.Return(scratch);
        }
    }

    private struct Work
    {
        public float* Queries;
        public float* KeysValues;
        public float* Bias;
        public float* Output;
        public int Heads;
        public int Width;
        public int QueryCount;
        public int KeyCount;
        public int Blocks;
        public int BiasQueryStride;
        public long BiasHeadStride;
        public long BiasRowStride;
        public bool HasFailed;
    }
}
