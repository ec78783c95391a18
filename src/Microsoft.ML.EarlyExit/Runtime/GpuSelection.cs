namespace Microsoft.ML.EarlyExit;

/// <summary>Decides between CPU and GPU from what was asked for and what the native package offers.</summary>
internal static class GpuSelection
{
    private const string CudaProvider = "CUDAExecutionProvider";

    /// <summary>The CUDA device to use; null for the CPU.</summary>
    /// <exception cref="InvalidOperationException">A GPU was asked for, cannot be had, and falling back was not allowed.</exception>
    public static int? Choose(EarlyExitModelOptions options, IReadOnlyCollection<string> availableProviders)
    {
        if (options.GpuDeviceId is not { } device)
            return null;
        if (availableProviders.Contains(CudaProvider))
            return device;
        if (options.FallbackToCpu)
            return null;
        throw new InvalidOperationException(
            $"GPU {device} was asked for, but the application's ONNX Runtime has no {CudaProvider}. Replace the package Microsoft.ML.OnnxRuntime by "
            + "Microsoft.ML.OnnxRuntime.Gpu, or allow FallbackToCpu.");
    }
}
