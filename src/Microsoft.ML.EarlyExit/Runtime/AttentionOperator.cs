using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Google.Protobuf;
using Microsoft.ML.EarlyExit.Onnx;
using Microsoft.ML.OnnxRuntime;
using DataType = Microsoft.ML.EarlyExit.Onnx.TensorProto.Types.DataType;

namespace Microsoft.ML.EarlyExit.Runtime;

/// <summary>
/// Attention over caches for several rows with one or more tokens each, as an operator of ONNX Runtime that calls a managed kernel on the runtime's threads.
/// The attention kernel of the bundle's graphs, GroupQueryAttention, takes several tokens behind a cache only of one row, and is slower;
/// <see cref="SegmentComposer"/> puts this in its place.
/// </summary>
/// <remarks>
/// Inputs: packed queries [1, tokens, heads · head], with the new keys and values behind each query in self-attention; <see cref="Job"/>, int64 [1], the
/// address of an <see cref="AttentionJob"/>; and which attention it is. Output: [1, tokens, heads · head]. Self-attention also appends to the caches.
/// </remarks>
internal sealed unsafe class AttentionOperator : IDisposable
{
    /// <summary>The input of a composed graph that has the job's address.</summary>
    public const string Job = "attention_job";

    private const string Domain = "microsoft.ml.earlyexit.attention";
    private const string Operator = "PackedAttention";

    // Below this many multiplications waking threads costs more than the work.
    private const long LeastForThreads = 1 << 16;

    private static readonly NativeApi.CustomOperator* s_operator =
        NativeApi.Describe(Operator, &Compute, DataType.Float, DataType.Float, DataType.Int64, DataType.Int64);

    private readonly nint _domain = NativeApi.CreateDomain(Domain, s_operator);

    /// <summary>Offers the operator to a session.</summary>
    public void AddTo(SessionOptions options) => NativeApi.AddDomain(options, _domain);

    /// <summary>Says that a model uses the operator.</summary>
    public static void Import(ModelProto model) => model.OpsetImport.Add(new OperatorSetIdProto { Domain = Domain, Version = 1 });

    /// <summary>A node of the operator, and the constant that says which attention it is.</summary>
    public static NodeProto Node(string name, string input, string output, int layer, bool isCross, out TensorProto which)
    {
        long[] number = [(2 * (layer - 1)) + (isCross ? 1 : 0)];
        which = new TensorProto
        {
            Name = $"{name}/which",
            DataType = (int)DataType.Int64,
            Dims = { 1 },
            RawData = ByteString.CopyFrom(MemoryMarshal.AsBytes<long>(number)),
        };
        return new NodeProto { Name = name, OpType = Operator, Domain = Domain, Input = { input, Job, which.Name }, Output = { output } };
    }

    /// <summary>To be called after the sessions that were offered the operator are disposed.</summary>
    public void Dispose() => NativeApi.ReleaseDomain(_domain);

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void* Compute(void* kernel, void* context)
    {
        var job = *(AttentionJob**)NativeApi.Input(context, 1);
        long which = *(long*)NativeApi.Input(context, 2);
        var work = new Work
        {
            Job = job,
            Caches = job->Layers[which / 2],
            IsCross = which % 2 == 1,
            Input = (float*)NativeApi.Input(context, 0),
        };
        void* failure = NativeApi.Output(context, [1, job->TokenCount, job->HeadCount * job->HeadWidth], &work.Output);
        if (failure is not null)
            return failure;
        int items = job->PartCount * job->HeadCount;
        if (Multiplications(job, work.IsCross) >= LeastForThreads)
            return NativeApi.ParallelFor(context, &AttendItem, (nuint)items, &work);

        for (int item = 0; item < items; item++)
            Attend(&work, item);
        return null;
    }

    private static long Multiplications(AttentionJob* job, bool isCross)
    {
        long pairs = 0;
        for (int part = 0; part < job->PartCount; part++)
            pairs += (long)job->Parts[part].Count * (isCross ? job->Parts[part].EncoderLength : job->Parts[part].Position + job->Parts[part].Count);
        return 2 * pairs * job->HeadCount * job->HeadWidth;
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void AttendItem(void* work, nuint item) => Attend((Work*)work, (int)item);

    /// <summary>One head of one row: nothing that another item reads or writes.</summary>
    private static void Attend(Work* work, int item)
    {
        AttentionJob* job = work->Job;
        AttentionPart part = job->Parts[item / job->HeadCount];
        int head = item % job->HeadCount;
        int width = job->HeadWidth;
        int inner = job->HeadCount * width;
        int inputWidth = work->IsCross ? inner : 3 * inner;
        // Entry 0 of a slot is scratch.
        long firstEntry = ((((long)part.Slot * job->HeadCount) + head) * (work->IsCross ? job->CrossEntries : job->SelfEntries)) + 1;
        float* keys = (work->IsCross ? work->Caches.CrossKeys : work->Caches.SelfKeys) + (firstEntry * width);
        float* values = (work->IsCross ? work->Caches.CrossValues : work->Caches.SelfValues) + (firstEntry * width);
        for (int index = 0; index < part.Count; index++)
        {
            float* query = work->Input + ((long)(part.FirstToken + index) * inputWidth) + (head * width);
            float* output = work->Output + ((long)(part.FirstToken + index) * inner) + (head * width);
            if (work->IsCross)
            {
                AttentionKernel.Attend(query, keys, values, part.EncoderLength, bias: null, width, output);
                continue;
            }

            // Causal: later tokens of the row are not there yet.
            int position = part.Position + index;
            new ReadOnlySpan<float>(query + inner, width).CopyTo(new Span<float>(keys + ((long)position * width), width));
            new ReadOnlySpan<float>(query + (2 * inner), width).CopyTo(new Span<float>(values + ((long)position * width), width));
            float* bias = job->Bias + ((head + 1L) * job->BiasLength) - (position + 1);
            AttentionKernel.Attend(query, keys, values, position + 1, bias, width, output);
        }
    }

    private struct Work
    {
        public AttentionJob* Job;
        public AttentionCaches Caches;
        public float* Input;
        public float* Output;
        public bool IsCross;
    }
}
