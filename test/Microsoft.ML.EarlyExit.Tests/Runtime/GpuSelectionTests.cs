using System.Diagnostics;
using Microsoft.ML.EarlyExit.Runtime;
using Microsoft.ML.OnnxRuntime;

namespace Microsoft.ML.EarlyExit.Tests;

public sealed class GpuSelectionTests
{
    private static readonly string[] s_cpu = ["CPUExecutionProvider"];
    private static readonly string[] s_cuda = ["CUDAExecutionProvider", "CPUExecutionProvider"];

    [Fact]
    public void The_gpu_is_used_only_where_it_was_asked_for()
    {
        Assert.Null(new GpuSelection(new EarlyExitModelOptions(), s_cuda, Fail).Device);
        var selection = new GpuSelection(new EarlyExitModelOptions { GpuDeviceId = 1 }, s_cuda, Fail);
        Assert.Equal(1, selection.Device);
        Assert.Equal("gpu 1", selection.Create(device => $"gpu {device}", () => "cpu"));
        Assert.Equal(1, selection.Device);
    }

    [Fact]
    public void A_package_without_cuda_falls_back_with_a_warning_where_that_is_allowed()
    {
        var warnings = new List<string>();
        var selection = new GpuSelection(new EarlyExitModelOptions { GpuDeviceId = 0, FallbackToCpu = true }, s_cpu, warnings.Add);
        Assert.Null(selection.Device);
        Assert.Equal("cpu", selection.Create(_ => "gpu", () => "cpu"));
        Assert.Contains("CUDAExecutionProvider", Assert.Single(warnings), StringComparison.Ordinal);
        var exception = Assert.Throws<InvalidOperationException>(() => new GpuSelection(new EarlyExitModelOptions { GpuDeviceId = 0 }, s_cpu, Fail));
        Assert.Contains("CUDA", exception.Message, StringComparison.Ordinal);
        Assert.Contains("Microsoft.ML.OnnxRuntime.Gpu", exception.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_device_that_fails_falls_back_once_with_the_reason()
    {
        var warnings = new List<string>();
        var selection = new GpuSelection(new EarlyExitModelOptions { GpuDeviceId = 3, FallbackToCpu = true }, s_cuda, warnings.Add);
        string? reason = null;
        Assert.Equal("cpu", selection.Create(_ => Break(out reason), () => "cpu"));
        Assert.Null(selection.Device);
        Assert.Equal("cpu", selection.Create<string>(_ => throw new UnreachableException(), () => "cpu"));
        Assert.StartsWith($"The model runs on the CPU, since CUDA device 3 cannot be used: {reason}", Assert.Single(warnings), StringComparison.Ordinal);

        static string Break(out string reason)
        {
            reason = "";
            try
            {
                return new InferenceSession((byte[])[1, 2, 3]).ToString()!;
            }
            catch (OnnxRuntimeException exception)
            {
                reason = exception.Message;
                throw;
            }
        }
    }

    [Fact]
    public void A_device_that_fails_is_the_devices_failure_where_falling_back_is_not_allowed()
    {
        var selection = new GpuSelection(new EarlyExitModelOptions { GpuDeviceId = 3 }, s_cuda, Fail);
        var exception = Assert.Throws<InvalidOperationException>(
            () => selection.Create(_ => throw new DllNotFoundException("libcublas.so is missing"), () => "cpu"));
        Assert.Contains("CUDA device 3", exception.Message, StringComparison.Ordinal);
        Assert.Contains("libcublas.so is missing", exception.Message, StringComparison.Ordinal);
        Assert.Contains("Microsoft.ML.OnnxRuntime.Gpu", exception.Message, StringComparison.Ordinal);
        Assert.DoesNotContain("onvert", exception.Message, StringComparison.Ordinal);
        Assert.Equal(3, selection.Device);
    }

    [Fact]
    public void Loading_tries_the_device()
    {
        Assert.SkipWhen(OrtEnv.Instance().GetAvailableProviders().Contains("CUDAExecutionProvider"), "ONNX Runtime may have a GPU here.");
        string bundle = TestModels.Bundle(TestModels.Exits);
        var exception = Assert.Throws<InvalidOperationException>(() => EarlyExitModel.Load(bundle, new EarlyExitModelOptions { GpuDeviceId = 0 }));
        Assert.Contains("Microsoft.ML.OnnxRuntime.Gpu", exception.Message, StringComparison.Ordinal);
        using EarlyExitModel model = EarlyExitModel.Load(bundle, new EarlyExitModelOptions { GpuDeviceId = 0, FallbackToCpu = true });
        Assert.Contains(model.Warnings, warning => warning.Contains("CUDA device 0", StringComparison.Ordinal));
    }

    [Fact]
    public void Another_number_of_threads_generates_the_same()
    {
        GenerationInput[] inputs = [GenerationInput.FromTokenIds([5, 6, 7, 1]), GenerationInput.FromTokenIds([9, 1])];
        var options = new TextGenerationOptions { MaxNewTokens = 20, BatchSize = 2, Exit = new ExitPolicy { MinimumLayer = 2, Threshold = 0.5f } };
        IReadOnlyList<GenerationResult> expected = TestModels.Model(TestModels.Exits).Generate(inputs, options);
        foreach (int threads in new[] { 1, 3 })
        {
            using EarlyExitModel model = EarlyExitModel.Load(TestModels.Bundle(TestModels.Exits), new EarlyExitModelOptions { ThreadCount = threads });
            IReadOnlyList<GenerationResult> actual = model.Generate(inputs, options);
            Assert.Equal(expected.Select(row => row.TokenIds), actual.Select(row => row.TokenIds));
            Assert.Equal(expected.Select(row => row.ExitLayers), actual.Select(row => row.ExitLayers));
        }
    }
    private static void Fail(string warning) => Assert.Fail(warning);
}
