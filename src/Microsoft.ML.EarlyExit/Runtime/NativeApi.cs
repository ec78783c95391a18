using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Microsoft.ML.OnnxRuntime;

namespace Microsoft.ML.EarlyExit;

/// <summary>The few functions of ONNX Runtime's C interface that its managed package does not offer.</summary>
internal sealed unsafe class NativeApi
{
    /// <summary>The one operator of every domain: its input, an int64, is the address of a <see cref="LoopJob"/>, which it runs.</summary>
    public const string OperatorName = "ParallelLoop";

    // Indices of the functions among the pointers of OrtApi in onnxruntime_c_api.h of ONNX Runtime 1.16. The struct only grows at its end, and onnxruntime_c_api.cc
    // asserts the size that each version had: what 1.16 has there stays there in all later versions, 1.31 among them.
    private const int CreateCustomOpDomain = 26;
    private const int CustomOpDomainAdd = 27;
    private const int AddCustomOpDomain = 28;
    private const int GetTensorMutableData = 51;
    private const int KernelContextGetInput = 90;
    private const int ReleaseCustomOpDomain = 101;
    private const int KernelContextParallelFor = 274;

    // ORT_API_VERSION of 1.16, the first version that has all of them; also that of the operator's description below.
    private const uint ApiVersion = 16;
    private const int Int64ElementType = 7;

    private static readonly nint s_operatorName = Marshal.StringToCoTaskMemUTF8(OperatorName);

    private readonly void** _api;
    private readonly CustomOperator* _operator;

    private NativeApi()
    {
        nint library = NativeLibrary.Load("onnxruntime", typeof(InferenceSession).Assembly, null);
        var getApiBase = (delegate* unmanaged[Cdecl]<void**>)NativeLibrary.GetExport(library, "OrtGetApiBase");
        _api = (void**)((delegate* unmanaged[Cdecl]<uint, void*>)getApiBase()[0])(ApiVersion);
        if (_api is null)
            throw new NotSupportedException(
                $"This ONNX Runtime does not offer version {ApiVersion} of its interface. "
                + "Use the Microsoft.ML.OnnxRuntime package that belongs to this library.");

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
