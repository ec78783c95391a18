using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Microsoft.ML.OnnxRuntime;
using DataType = Microsoft.ML.EarlyExit.Onnx.TensorProto.Types.DataType;

namespace Microsoft.ML.EarlyExit.Runtime;

/// <summary>
/// The few functions of ONNX Runtime's C interface that its managed package does not offer: those for operators of our own. They are called by their places in
/// <c>OrtApi</c>, as <c>onnxruntime_c_api.h</c> of version 1.16 and every later one has them: it only ever grows at its end.
/// </summary>
internal static unsafe class NativeApi
{
    private const int CreateStatus = 0;
    private const int CreateCustomOpDomain = 26;
    private const int CustomOpDomainAdd = 27;
    private const int AddCustomOpDomain = 28;
    private const int GetTensorMutableData = 51;
    private const int GetDimensionsCount = 61;
    private const int GetDimensions = 62;
    private const int GetTensorTypeAndShape = 65;
    private const int KernelContextGetInput = 90;
    private const int KernelContextGetOutput = 91;
    private const int ReleaseTensorTypeAndShapeInfo = 99;
    private const int ReleaseCustomOpDomain = 101;
    private const int KernelContextParallelFor = 274;

    // The first version that has all of them; also that of an operator's description below.
    private const uint ApiVersion = 16;
    private const int Fail = 1;
    private const int MostInputs = 8;

    private static readonly void** s_api = Open();

    /// <summary>
    /// Describes an operator by the types of its inputs and of its one output. The description lives as long as the process: every domain refers to it.
    /// </summary>
    public static CustomOperator* Describe(
        string name, delegate* unmanaged[Cdecl]<void*, void*, void*> compute, DataType output, params ReadOnlySpan<DataType> inputs)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(inputs.Length, MostInputs);
        var description = (CustomOperator*)NativeMemory.AllocZeroed((nuint)sizeof(CustomOperator));
        description->Version = ApiVersion;
        description->CreateKernel = &CreateKernel;
        description->GetName = &GetName;
        description->GetExecutionProviderType = &GetNothing;
        description->GetInputType = &GetInputType;
        description->GetInputTypeCount = &GetInputCount;
        description->GetOutputType = &GetOutputType;
        description->GetOutputTypeCount = &GetOne;
        description->KernelComputeV2 = compute;
        description->KernelDestroy = &Destroy;
        description->GetInputCharacteristic = &GetRequired;
        description->GetOutputCharacteristic = &GetRequired;
        description->GetInputMemoryType = &GetRequired;
        description->Name = Marshal.StringToCoTaskMemUTF8(name);
        description->InputCount = inputs.Length;
        for (int index = 0; index < inputs.Length; index++)
            description->InputTypes[index] = (int)inputs[index];
        description->OutputType = output;
        return description;
    }

    /// <summary>A domain that offers operators; to be released after the sessions that use it.</summary>
    public static nint CreateDomain(string name, params CustomOperator*[] descriptions)
    {
        nint utf8 = Marshal.StringToCoTaskMemUTF8(name);
        try
        {
            nint domain;
            Check(((delegate* unmanaged[Cdecl]<nint, nint*, void*>)s_api[CreateCustomOpDomain])(utf8, &domain));
            foreach (CustomOperator* description in descriptions)
                Check(((delegate* unmanaged[Cdecl]<nint, CustomOperator*, void*>)s_api[CustomOpDomainAdd])(domain, description));
            return domain;
        }
        finally
        {
            Marshal.FreeCoTaskMem(utf8);
        }
    }

    public static void AddDomain(SessionOptions options, nint domain) =>
        Check(((delegate* unmanaged[Cdecl]<nint, nint, void*>)s_api[AddCustomOpDomain])(options.DangerousGetHandle(), domain));

    public static void ReleaseDomain(nint domain) => ((delegate* unmanaged[Cdecl]<nint, void>)s_api[ReleaseCustomOpDomain])(domain);

    /// <summary>The data of a kernel's input.</summary>
    public static void* Input(void* context, int index)
    {
        // These fail for indices and types that the operator's own description rules out.
        void* data;
        ((delegate* unmanaged[Cdecl]<void*, void**, void*>)s_api[GetTensorMutableData])(InputValue(context, index), &data);
        return data;
    }

    /// <summary>The dimensions of a kernel's input.</summary>
    /// <returns>How many there are; those that have no room are left out.</returns>
    public static int Shape(void* context, int index, Span<long> dimensions)
    {
        // These fail for what a tensor rules out.
        void* shape;
        nuint count;
        ((delegate* unmanaged[Cdecl]<void*, void**, void*>)s_api[GetTensorTypeAndShape])(InputValue(context, index), &shape);
        ((delegate* unmanaged[Cdecl]<void*, nuint*, void*>)s_api[GetDimensionsCount])(shape, &count);
        fixed (long* dimension = dimensions)
        {
            ((delegate* unmanaged[Cdecl]<void*, long*, nuint, void*>)s_api[GetDimensions])(
                shape, dimension, (nuint)Math.Min((int)count, dimensions.Length));
        }

        ((delegate* unmanaged[Cdecl]<void*, void>)s_api[ReleaseTensorTypeAndShapeInfo])(shape);
        return (int)count;
    }

    /// <summary>Makes memory for a kernel's output.</summary>
    /// <returns>Null, or why there is none, which the kernel returns to the runtime.</returns>
    public static void* Output(void* context, ReadOnlySpan<long> shape, float** data)
    {
        void* output;
        void* status;
        fixed (long* dimensions = shape)
        {
            status = ((delegate* unmanaged[Cdecl]<void*, nuint, long*, nuint, void**, void*>)s_api[KernelContextGetOutput])(
                context, 0, dimensions, (nuint)shape.Length, &output);
        }

        return status is null ? ((delegate* unmanaged[Cdecl]<void*, void**, void*>)s_api[GetTensorMutableData])(output, (void**)data) : status;
    }

    /// <summary>Calls a function with every number below <paramref name="count"/> on the runtime's threads, and returns after the last.</summary>
    /// <returns>What a kernel returns: null, or why not all were called.</returns>
    public static void* ParallelFor(void* context, delegate* unmanaged[Cdecl]<void*, nuint, void> body, nuint count, void* state) =>
        ((delegate* unmanaged[Cdecl]<void*, delegate* unmanaged[Cdecl]<void*, nuint, void>, nuint, nuint, void*, void*>)s_api[KernelContextParallelFor])(
            context, body, count, 0, state);

    /// <summary>What a kernel returns where it cannot go on.</summary>
    public static void* Failure(string message)
    {
        nint utf8 = 0;
        try
        {
            utf8 = Marshal.StringToCoTaskMemUTF8(message);
            return ((delegate* unmanaged[Cdecl]<int, nint, void*>)s_api[CreateStatus])(Fail, utf8);
        }
        catch (OutOfMemoryException)
        {
            return OutOfMemory();
        }
        finally
        {
            Marshal.FreeCoTaskMem(utf8);
        }
    }

    /// <summary>What a kernel returns where an exception ends it: what leaves a function that native code calls ends the process.</summary>
    public static void* Failure(Exception exception) => exception is OutOfMemoryException ? OutOfMemory() : Failure(exception.Message);

    /// <summary>What a kernel returns where there is no memory, in the runtime's own words, which say that it is the memory; takes none.</summary>
    public static void* OutOfMemory()
    {
        // A literal has a zero behind it.
        fixed (byte* text = "Failed to allocate memory for a kernel."u8)
            return ((delegate* unmanaged[Cdecl]<int, byte*, void*>)s_api[CreateStatus])(Fail, text);
    }

    private static void** Open()
    {
        nint library = NativeLibrary.Load("onnxruntime", typeof(InferenceSession).Assembly, null);
        var getApiBase = (delegate* unmanaged[Cdecl]<void**>)NativeLibrary.GetExport(library, "OrtGetApiBase");
        var api = (void**)((delegate* unmanaged[Cdecl]<uint, void*>)getApiBase()[0])(ApiVersion);
        return api is not null
            ? api
            : throw new NotSupportedException(
                $"This ONNX Runtime does not offer version {ApiVersion} of its interface. "
                + "Use the Microsoft.ML.OnnxRuntime package that belongs to this library.");
    }

    private static void* InputValue(void* context, int index)
    {
        void* value;
        ((delegate* unmanaged[Cdecl]<void*, nuint, void**, void*>)s_api[KernelContextGetInput])(context, (nuint)index, &value);
        return value;
    }

    private static void Check(void* status)
    {
        if (status is not null)
            throw new InvalidOperationException("ONNX Runtime refused a custom operator.");
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void* CreateKernel(CustomOperator* op, void* api, void* info) => op;

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void Destroy(void* kernel)
    {
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static nint GetName(CustomOperator* op) => op->Name;

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static nint GetNothing(CustomOperator* op) => 0;

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int GetInputType(CustomOperator* op, nuint index) => op->InputTypes[index];

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static nuint GetInputCount(CustomOperator* op) => (nuint)op->InputCount;

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int GetOutputType(CustomOperator* op, nuint index) => (int)op->OutputType;

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static nuint GetOne(CustomOperator* op) => 1;

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int GetRequired(CustomOperator* op, nuint index) => 0;

    /// <summary>OrtCustomOp up to the fields of <see cref="ApiVersion"/>, room for later ones that stay null, and behind it what is ours.</summary>
    internal struct CustomOperator
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
        public fixed long Variadic[4];
        public void* CreateKernelV2;
        public delegate* unmanaged[Cdecl]<void*, void*, void*> KernelComputeV2;
        public fixed long Later[18];
        public nint Name;
        public int InputCount;
        public DataType OutputType;
        public fixed int InputTypes[MostInputs];
    }
}
