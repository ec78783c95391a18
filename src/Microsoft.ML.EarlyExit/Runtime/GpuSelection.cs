using System.Runtime.InteropServices;
using Microsoft.ML.OnnxRuntime;

namespace Microsoft.ML.EarlyExit.Runtime;

/// <summary>Decides between CPU and GPU from what was requested, what the native package offers and what the device then does.</summary>
internal sealed class GpuSelection
{
    /// <summary>The provider that runs models on a GPU.</summary>
    public const string CudaProvider = "CUDAExecutionProvider";
    private const string CudaLibrary = "onnxruntime_providers_cuda";

    private const string Package =
        "Use the package Microsoft.ML.OnnxRuntime.Gpu in the place of Microsoft.ML.OnnxRuntime and the CUDA and cuDNN libraries that it needs, "
        + "name another device";

    private readonly EarlyExitModelOptions _options;
    private readonly Action<string> _warn;
    private volatile bool _isGpu;

    /// <param name="options">What was requested.</param>
    /// <param name="availableProviders">What the native package offers.</param>
    /// <param name="warn">Is told why the CPU is used where a GPU was requested.</param>
    /// <exception cref="InvalidOperationException">A GPU was requested, the package has none, and falling back was not allowed.</exception>
    public GpuSelection(EarlyExitModelOptions options, IReadOnlyCollection<string> availableProviders, Action<string> warn)
    {
        _options = options;
        _warn = warn;
        if (options.GpuDeviceId is null)
            return;
        _isGpu = true;
        if (!availableProviders.Contains(CudaProvider))
            Refuse($"The application's ONNX Runtime has no {CudaProvider}.", Package);
    }

    /// <summary>Uses the CPU for a model whose weights the GPU cannot multiply.</summary>
    /// <exception cref="InvalidOperationException">A GPU was requested, and falling back was not allowed.</exception>
    public void RefuseWholeNumbers()
    {
        if (_isGpu)
            Refuse("It has no products of whole numbers with scales.", "Convert the model with weights fp32 or bf16");
    }

    /// <summary>The CUDA device in use; null for the CPU.</summary>
    public int? Device => _isGpu ? _options.GpuDeviceId : null;

    /// <summary>Makes something on the device in use; where the GPU cannot, on the CPU from now on.</summary>
    /// <param name="onGpu">Makes it on a CUDA device.</param>
    /// <param name="onCpu">Makes it on the CPU.</param>
    /// <exception cref="InvalidOperationException">The GPU cannot, and falling back was not allowed.</exception>
    public T Create<T>(Func<int, T> onGpu, Func<T> onCpu)
    {
        if (Device is { } device)
        {
            try
            {
                return onGpu(device);
            }
            catch (Exception exception) when (exception is OnnxRuntimeException or DllNotFoundException or EntryPointNotFoundException)
            {
                Refuse(string.Join('\n', exception.Message, LoaderMessage()), Package);
            }
        }

        return onCpu();
    }

    /// <summary>Why the provider's library cannot be loaded, which ONNX Runtime does not tell; nothing where it can be.</summary>
    private static string LoaderMessage()
    {
        try
        {
            // Only after ONNX Runtime has tried: the library's initializers need what that has prepared.
            NativeLibrary.Load(CudaLibrary, typeof(InferenceSession).Assembly, null);
            return "";
        }
        catch (Exception exception) when (exception is DllNotFoundException or BadImageFormatException)
        {
            // Of all the places that were tried, the one where the library is and something that it needs is not.
            string[] lines = exception.Message.Split('\n');
            return lines.Skip(1).FirstOrDefault(line => line.Length > 0 && !line.Contains(CudaLibrary, StringComparison.Ordinal)) ?? lines[0];
        }
    }

    private void Refuse(string reason, string remedy)
    {
        // The loader's and the driver's messages come in several lines.
        reason = string.Join(": ", reason.Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries)).TrimEnd('.') + '.';
        if (!_options.FallbackToCpu)
        {
            throw new InvalidOperationException(
                $"CUDA device {_options.GpuDeviceId} was requested and cannot be used: {reason} {remedy}, or allow FallbackToCpu.");
        }

        _isGpu = false;
        _warn($"The model runs on the CPU, since CUDA device {_options.GpuDeviceId} cannot be used: {reason}");
    }
}
