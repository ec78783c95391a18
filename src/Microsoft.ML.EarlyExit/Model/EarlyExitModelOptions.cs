using Microsoft.ML.EarlyExit.Evaluation.Text;

namespace Microsoft.ML.EarlyExit;

/// <summary>How a model is loaded. Immutable; every value is checked where it is given.</summary>
public sealed record EarlyExitModelOptions
{
    private readonly int? _threadCount;
    private readonly int? _gpuDeviceId;

    /// <summary>
    /// Threads that one step of generation uses, 1 to 1,024. ONNX Runtime has one pool per process, of the size that the first model requests; later models use
    /// it, and <see cref="EarlyExitModel.Warnings"/> says so where they request another. Where the process used ONNX Runtime before, every session has up to
    /// eight threads of its own.
    /// </summary>
    /// <value>The default value is null: one per processor.</value>
    /// <exception cref="ArgumentOutOfRangeException">The value is outside its range.</exception>
    public int? ThreadCount
    {
        get => _threadCount;
        init => _threadCount = value is null or (>= 1 and <= 1024)
            ? value
            : throw new ArgumentOutOfRangeException(nameof(ThreadCount), value, "ThreadCount must be from 1 to 1024.");
    }

    /// <summary>
    /// Whether ONNX Runtime may send usage data to its makers, as its official builds do by default. False sets <c>ORT_DISABLE_TELEMETRY=1</c> for native code,
    /// unless the variable has a value, before the runtime starts. There is one runtime per process, so the first model decides; where the process used it
    /// before, <see cref="EarlyExitModel.Warnings"/> says so.
    /// </summary>
    /// <value>The default value is false.</value>
    public bool AllowTelemetry { get; init; }

    /// <summary>The CUDA device to run on; needs the Microsoft.ML.OnnxRuntime.Gpu package. It is tried when the model is loaded.</summary>
    /// <value>The default value is null: the CPU.</value>
    /// <exception cref="ArgumentOutOfRangeException">The value is below 0.</exception>
    public int? GpuDeviceId
    {
        get => _gpuDeviceId;
        init => _gpuDeviceId = value is null or >= 0
            ? value
            : throw new ArgumentOutOfRangeException(nameof(GpuDeviceId), value, "GpuDeviceId must be at least 0.");
    }

    /// <summary>
    /// Whether the CPU is used where the GPU cannot be: no CUDA in the package, libraries missing, no such device, one that cannot multiply the weights, not
    /// enough memory on it for the model. <see cref="EarlyExitModel.Warnings"/> then says why; otherwise loading fails. Where a later call needs a part of the
    /// model that the device cannot take, with this the calls after it run on the CPU; it fails itself if it had begun on the device. A call whose rows the
    /// device lacks memory for fails in any case, and the calls after it stay on the device.
    /// </summary>
    /// <value>The default value is false.</value>
    public bool FallbackToCpu { get; init; }

    /// <summary>
    /// Whether the weights are copied into memory when the model is loaded, instead of being read from the mapped file: for folders that others write to. The
    /// copy is what is checked against the hash, and later changes of the weights file have no effect. It takes the file's size in memory and the time to read
    /// it.
    /// </summary>
    /// <value>The default value is false: processes that load one bundle share its weights in memory, and pages that are not needed leave it.</value>
    public bool CopyWeights { get; init; }

    /// <summary>The values by their names, alike in every culture.</summary>
    /// <returns>One line of text.</returns>
    public override string ToString() => MemberText.Of(this);
}
