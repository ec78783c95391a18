using Microsoft.ML.OnnxRuntime;

namespace Microsoft.ML.EarlyExit.Runtime;

/// <summary>A provider of ONNX Runtime that runs the graphs of <see cref="DeviceGraph"/>, with the memory that it computes in.</summary>
/// <param name="AppendTo">Adds the provider to a session's options.</param>
/// <param name="CreateMemoryInfo">Says which memory it is.</param>
/// <param name="MultipliesBFloat16">Whether it multiplies weights in bf16; they are widened where it does not.</param>
/// <param name="Allocating">Is called before memory is taken; null for nothing.</param>
internal sealed record ExecutionDevice(
    Action<SessionOptions> AppendTo, Func<OrtMemoryInfo> CreateMemoryInfo, bool MultipliesBFloat16, Action? Allocating = null)
{
    /// <summary>A CUDA device, which refuses a session with a node that it cannot run: on the CPU every token would wait for it.</summary>
    /// <param name="device">The device, from 0.</param>
    public static ExecutionDevice Cuda(int device) => new(
        options =>
        {
            options.AddSessionConfigEntry("session.disable_cpu_ep_fallback", "1");

            // Its kernel wants cuDNN, which nothing else here does.
            options.AddSessionConfigEntry("optimization.disable_specified_optimizers", "BiasSoftmaxFusion");
            using var provider = new OrtCUDAProviderOptions();

            // Products in single precision are what their name says: by default they have ten bits.
            provider.UpdateOptions(new Dictionary<string, string> { ["device_id"] = $"{device}", ["use_tf32"] = "0" });
            options.AppendExecutionProvider_CUDA(provider);
        },
        () => new OrtMemoryInfo(OrtMemoryInfo.allocatorCUDA, OrtAllocatorType.ArenaAllocator, device, OrtMemType.Default),
        MultipliesBFloat16: true);
}
