using System.CommandLine;
using Microsoft.ML.EarlyExit.Tool.Output;

namespace Microsoft.ML.EarlyExit.Tool.Commands;

/// <summary><c>--threads</c> and <c>--gpu</c>: how a command loads its model.</summary>
internal sealed class LoadOptions
{
    private const int MostThreads = 1024;

    private readonly Option<int?> _threads = NumberOption.CreateWhole(
        "--threads", $"How many threads work, 1 to {MostThreads}; one per processor by default.", 1, MostThreads);

    private readonly Option<int?> _gpu = NumberOption.CreateWhole(
        "--gpu", "The CUDA device to run on, counted from 0; the processor by default. Needs a build of the tool with ONNX Runtime for GPUs.", 0, int.MaxValue);

    /// <summary>The options.</summary>
    public Option[] All => [_threads, _gpu];

    /// <summary>Loads a bundle.</summary>
    /// <exception cref="IOException">The GPU cannot be had.</exception>
    public EarlyExitModel Load(ParseResult parsed, string bundle)
    {
        int? gpu = parsed.GetValue(_gpu);
        try
        {
            return EarlyExitModel.Load(bundle, new EarlyExitModelOptions { ThreadCount = parsed.GetValue(_threads), GpuDeviceId = gpu });
        }
        catch (InvalidOperationException exception) when (gpu is not null)
        {
            throw new IOException($"--gpu {gpu}: {OptionNames.InFlags(ErrorSentence.Message(exception))}", exception);
        }
    }
}
