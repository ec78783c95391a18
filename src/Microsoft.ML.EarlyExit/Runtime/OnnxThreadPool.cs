using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Google.Protobuf;
using Microsoft.ML.EarlyExit.Memory;
using Microsoft.ML.EarlyExit.Onnx;
using Microsoft.ML.OnnxRuntime;
using DataType = Microsoft.ML.EarlyExit.Onnx.TensorProto.Types.DataType;

namespace Microsoft.ML.EarlyExit.Runtime;

/// <summary>
/// Runs our own loops on ONNX Runtime's threads. They keep spinning for a while after a run, so that a second pool would fight them for the processors; theirs
/// takes work within microseconds. The way in is a custom operator that calls a managed function.
/// </summary>
internal sealed unsafe class OnnxThreadPool : IDisposable
{
    private const string Domain = "microsoft.ml.earlyexit";
    private const string Operator = "ParallelLoop";
    private const string Job = "job";
    private const string Done = "done";

    private static readonly NativeApi.CustomOperator* s_operator = NativeApi.Describe(Operator, &Compute, DataType.Int64, DataType.Int64);

    private readonly nint _domain;
    private readonly InferenceSession _session;

    public OnnxThreadPool(SessionOptions options)
    {
        _domain = NativeApi.CreateDomain(Domain, s_operator);
        try
        {
            NativeApi.AddDomain(options, _domain);
            _session = new InferenceSession(Model(), options);
        }
        catch
        {
            NativeApi.ReleaseDomain(_domain);
            throw;
        }
    }

    /// <summary>A place to start loops from; one per thread that starts them.</summary>
    public Lane CreateLane() => new(_session);

    public void Dispose()
    {
        _session.Dispose();
        NativeApi.ReleaseDomain(_domain);
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void* Compute(void* kernel, void* context)
    {
        var job = *(LoopJob**)NativeApi.Input(context, 0);
        return NativeApi.ParallelFor(context, job->Body, job->Count, job->State);
    }

    private static byte[] Model()
    {
        var graph = new GraphProto { Name = "parallel_loop" };
        graph.Input.Add(Value(Job));
        graph.Output.Add(Value(Done));
        graph.Node.Add(new NodeProto { Name = Operator, OpType = Operator, Domain = Domain, Input = { Job }, Output = { Done } });
        return new ModelProto
        {
            IrVersion = 10,
            Graph = graph,
            OpsetImport = { new OperatorSetIdProto { Domain = "", Version = 21 }, new OperatorSetIdProto { Domain = Domain, Version = 1 } },
        }.ToByteArray();

        static ValueInfoProto Value(string name)
        {
            var shape = new TensorShapeProto { Dim = { new TensorShapeProto.Types.Dimension { DimValue = 1 } } };
            return new ValueInfoProto
            {
                Name = name,
                Type = new TypeProto { TensorType = new TypeProto.Types.Tensor { ElemType = (int)DataType.Int64, Shape = shape } },
            };
        }
    }

    /// <summary>One caller's buffers; allocates nothing per loop. Not for several threads at once.</summary>
    public sealed class Lane : IDisposable
    {
        private readonly InferenceSession _session;
        private readonly NativeBuffer _job = new(sizeof(LoopJob));
        private readonly BoundBuffer<long> _jobAddress = new(1);
        private readonly BoundBuffer<long> _done = new(1);
        private readonly OrtIoBinding _binding;
        private readonly RunOptions _run = new();

        internal Lane(InferenceSession session)
        {
            _session = session;
            _jobAddress.Values[0] = _job.Address;
            _binding = session.CreateIoBinding();
            _binding.BindInput(Job, _jobAddress.View);
            _binding.BindOutput(Done, _done.View);
        }

        /// <summary>
        /// Calls <paramref name="body"/> with <paramref name="state"/> and every number below <paramref name="count"/>, in any order, and returns after the
        /// last.
        /// </summary>
        public void Run(delegate* unmanaged[Cdecl]<void*, nuint, void> body, void* state, int count)
        {
            *(LoopJob*)_job.Address = new LoopJob { Body = body, State = state, Count = (nuint)count };
            _session.RunWithBinding(_run, _binding);
        }

        /// <summary>The same with managed state, which the body gets as a <see cref="GCHandle"/>; it lives as long as the loop.</summary>
        public void Run(delegate* unmanaged[Cdecl]<void*, nuint, void> body, object state, int count)
        {
            GCHandle handle = GCHandle.Alloc(state);
            try
            {
                Run(body, (void*)GCHandle.ToIntPtr(handle), count);
            }
            finally
            {
                handle.Free();
            }
        }

        public void Dispose()
        {
            _binding.Dispose();
            _run.Dispose();
            _job.Dispose();
            _jobAddress.Dispose();
            _done.Dispose();
        }
    }

    private struct LoopJob
    {
        public delegate* unmanaged[Cdecl]<void*, nuint, void> Body;
        public void* State;
        public nuint Count;
    }
}
