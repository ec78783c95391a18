using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Google.Protobuf;
using Microsoft.ML.EarlyExit.Onnx;
using Microsoft.ML.OnnxRuntime;
using DataType = Microsoft.ML.EarlyExit.Onnx.TensorProto.Types.DataType;

namespace Microsoft.ML.EarlyExit;

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

    private readonly nint _domain;
    private readonly InferenceSession _session;

    public OnnxThreadPool(SessionOptions options)
    {
        _domain = NativeApi.Instance.CreateDomain(Domain);
        try
        {
            NativeApi.Instance.AddDomain(options, _domain);
            _session = new InferenceSession(Model(), options);
        }
        catch
        {
            NativeApi.Instance.ReleaseDomain(_domain);
            throw;
        }
    }

    /// <summary>A place to start loops from; one per thread that starts them.</summary>
    public Lane CreateLane() => new(_session);

    public void Dispose()
    {
        _session.Dispose();
        NativeApi.Instance.ReleaseDomain(_domain);
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
            return new ValueInfoProto { Name = name, Type = new TypeProto { TensorType = new TypeProto.Types.Tensor { ElemType = (int)DataType.Int64, Shape = shape } } };
        }
    }

    /// <summary>One caller's buffers; allocates nothing per loop. Not for several threads at once.</summary>
    public sealed class Lane : IDisposable
    {
        private readonly InferenceSession _session;
        private readonly NativeBuffer _job = new(sizeof(LoopJob));
        private readonly NativeBuffer _jobAddress = new(sizeof(long));
        private readonly NativeBuffer _done = new(sizeof(long));
        private readonly OrtValue _jobValue;
        private readonly OrtValue _doneValue;
        private readonly OrtIoBinding _binding;
        private readonly RunOptions _run = new();

        internal Lane(InferenceSession session)
        {
            _session = session;
            _jobAddress.Span<long>(0, 1)[0] = _job.Address;
            _jobValue = BoundTensor.Int64(_jobAddress, 1);
            _doneValue = BoundTensor.Int64(_done, 1);
            _binding = session.CreateIoBinding();
            _binding.BindInput(Job, _jobValue);
            _binding.BindOutput(Done, _doneValue);
        }

        /// <summary>Calls <paramref name="body"/> with <paramref name="state"/> and every number below <paramref name="count"/>, in any order, and returns after the last.</summary>
        public void Run(delegate* unmanaged[Cdecl]<void*, nuint, void> body, void* state, int count)
        {
            *(LoopJob*)_job.Address = new LoopJob { Body = body, State = state, Count = (nuint)count };
            _session.RunWithBinding(_run, _binding);
        }

        public void Dispose()
        {
            _binding.Dispose();
            _jobValue.Dispose();
            _doneValue.Dispose();
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

    /// <summary>The few functions of ONNX Runtime's C interface that its managed package does not offer.</summary>
    private sealed class NativeApi
    {
        // Positions in OrtApi, which only ever grows at its end.
        private const int CreateCustomOpDomain = 26;
        private const int CustomOpDomainAdd = 27;
        private const int AddCustomOpDomain = 28;
        private const int GetTensorMutableData = 51;
        private const int KernelContextGetInput = 90;
        private const int ReleaseCustomOpDomain = 101;
        private const int KernelContextParallelFor = 274;

        // The first version that has all of them; also that of the operator's description below.
        private const uint ApiVersion = 16;
        private const int Int64ElementType = 7;

        private static readonly nint s_operatorName = Marshal.StringToCoTaskMemUTF8(Operator);

        private readonly void** _api;
        private readonly CustomOperator* _operator;

        private NativeApi()
        {
            nint library = NativeLibrary.Load("onnxruntime", typeof(InferenceSession).Assembly, null);
            var getApiBase = (delegate* unmanaged[Cdecl]<void**>)NativeLibrary.GetExport(library, "OrtGetApiBase");
            _api = (void**)((delegate* unmanaged[Cdecl]<uint, void*>)getApiBase()[0])(ApiVersion);
            if (_api is null)
                throw new NotSupportedException($"This ONNX Runtime does not offer version {ApiVersion} of its interface. Use the Microsoft.ML.OnnxRuntime package that belongs to this library.");

            // Lives as long as the process: every domain refers to it.
            _operator = (CustomOperator*)NativeMemory.AllocZeroed((nuint)sizeof(CustomOperator));
            _operator->Version = ApiVersion;
            _operator->CreateKernel = &CreateKernel;
            _operator->GetName = &GetName;
            _operator->GetExecutionProviderType = &GetNothing;
            _operator->GetInputType = &GetType;
            _operator->GetInputTypeCount = &GetOne;
            _operator->GetOutputType = &GetType;
            _operator->GetOutputTypeCount = &GetOne;
            _operator->KernelCompute = &Compute;
            _operator->KernelDestroy = &Destroy;
            _operator->GetInputCharacteristic = &GetRequired;
            _operator->GetOutputCharacteristic = &GetRequired;
            _operator->GetInputMemoryType = &GetRequired;
        }

        public static NativeApi Instance { get; } = new();

        public nint CreateDomain(string name)
        {
            nint utf8 = Marshal.StringToCoTaskMemUTF8(name);
            try
            {
                nint domain;
                Check(((delegate* unmanaged[Cdecl]<nint, nint*, void*>)_api[CreateCustomOpDomain])(utf8, &domain));
                Check(((delegate* unmanaged[Cdecl]<nint, CustomOperator*, void*>)_api[CustomOpDomainAdd])(domain, _operator));
                return domain;
            }
            finally
            {
                Marshal.FreeCoTaskMem(utf8);
            }
        }

        public void AddDomain(SessionOptions options, nint domain) =>
            Check(((delegate* unmanaged[Cdecl]<nint, nint, void*>)_api[AddCustomOpDomain])(options.DangerousGetHandle(), domain));

        public void ReleaseDomain(nint domain) => ((delegate* unmanaged[Cdecl]<nint, void>)_api[ReleaseCustomOpDomain])(domain);

        private static void Check(void* status)
        {
            if (status is not null)
                throw new InvalidOperationException("ONNX Runtime refused a custom operator.");
        }

        [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
        private static void Compute(void* kernel, void* context)
        {
            void** api = Instance._api;
            void* input;
            LoopJob** address;
            // These fail for indices and types that the operator's own description rules out.
            ((delegate* unmanaged[Cdecl]<void*, nuint, void**, void*>)api[KernelContextGetInput])(context, 0, &input);
            ((delegate* unmanaged[Cdecl]<void*, void**, void*>)api[GetTensorMutableData])(input, (void**)&address);
            LoopJob* job = *address;
            ((delegate* unmanaged[Cdecl]<void*, delegate* unmanaged[Cdecl]<void*, nuint, void>, nuint, nuint, void*, void*>)api[KernelContextParallelFor])(
                context, job->Body, job->Count, 0, job->State);
        }

        [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
        private static void* CreateKernel(CustomOperator* op, void* api, void* info) => op;

        [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
        private static void Destroy(void* kernel)
        {
        }

        [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
        private static nint GetName(CustomOperator* op) => s_operatorName;

        [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
        private static nint GetNothing(CustomOperator* op) => 0;

        [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
        private static int GetType(CustomOperator* op, nuint index) => Int64ElementType;

        [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
        private static nuint GetOne(CustomOperator* op) => 1;

        [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
        private static int GetRequired(CustomOperator* op, nuint index) => 0;

        /// <summary>OrtCustomOp up to the fields of <see cref="ApiVersion"/>, and room for later ones that stay null.</summary>
        private struct CustomOperator
        {
            public uint Version;
            public delegate* unmanaged[Cdecl]<CustomOperator*, void*, void*, void*> CreateKernel;
            public delegate* unmanaged[Cdecl]<CustomOperator*, nint> GetName;
            public delegate* unmanaged[Cdecl]<CustomOperator*, nint> GetExecutionProviderType;
            public delegate* unmanaged[Cdecl]<CustomOperator*, nuint, int> GetInputType;
            public delegate* unmanaged[Cdecl]<CustomOperator*, nuint> GetInputTypeCount;
            public delegate* unmanaged[Cdecl]<CustomOperator*, nuint, int> GetOutputType;
            public delegate* unmanaged[Cdecl]<CustomOperator*, nuint> GetOutputTypeCount;
            public delegate* unmanaged[Cdecl]<void*, void*, void> KernelCompute;
            public delegate* unmanaged[Cdecl]<void*, void> KernelDestroy;
            public delegate* unmanaged[Cdecl]<CustomOperator*, nuint, int> GetInputCharacteristic;
            public delegate* unmanaged[Cdecl]<CustomOperator*, nuint, int> GetOutputCharacteristic;
            public delegate* unmanaged[Cdecl]<CustomOperator*, nuint, int> GetInputMemoryType;
            public fixed long Later[24];
        }
    }
}
