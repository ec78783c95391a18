namespace Microsoft.ML.EarlyExit;

/// <summary>How a model is loaded. Immutable; every value is checked where it is given.</summary>
public sealed record EarlyExitModelOptions
{
    private readonly int? _threadCount;
    private readonly int? _gpuDeviceId;

    /// <summary>Threads that one step of generation uses, 1 to 1,024.</summary>
    /// <value>The default value is null: one per processor.</value>
    /// <exception cref="ArgumentOutOfRangeException">The value is outside its range.</exception>
    public int? ThreadCount
    {
        get => _threadCount;
        init => _threadCount = value is null or (>= 1 and <= 1024)
            ? value
            : throw new ArgumentOutOfRangeException(nameof(ThreadCount), value, "ThreadCount must be from 1 to 1024.");
    }

    /// <summary>The CUDA device to run on; needs the Microsoft.ML.OnnxRuntime.Gpu package.</summary>
    /// <value>The default value is null: the CPU.</value>
    /// <exception cref="ArgumentOutOfRangeException">The value is below 0.</exception>
    public int? GpuDeviceId
    {
        get => _gpuDeviceId;
        init => _gpuDeviceId = value is null or >= 0
            ? value
            : throw new ArgumentOutOfRangeException(nameof(GpuDeviceId), value, "GpuDeviceId must be at least 0.");
    }

    /// <summary>Whether the CPU is used where the GPU cannot be; otherwise loading fails.</summary>
    /// <value>The default value is false.</value>
    public bool FallbackToCpu { get; init; }

    /// <summary>The values by their names, alike in every culture.</summary>
    /// <returns>One line of text.</returns>
    public override string ToString() => MemberText.Of(this);
}
