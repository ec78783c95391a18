namespace Microsoft.ML.EarlyExit.Tests;

public sealed class GpuSelectionTests
{
    private static readonly string[] s_cpu = ["CPUExecutionProvider"];
    private static readonly string[] s_cuda = ["CUDAExecutionProvider", "CPUExecutionProvider"];

    [Fact]
    public void The_gpu_is_used_only_where_it_was_asked_for()
    {
        Assert.Null(GpuSelection.Choose(new EarlyExitModelOptions(), s_cuda));
        Assert.Equal(1, GpuSelection.Choose(new EarlyExitModelOptions { GpuDeviceId = 1 }, s_cuda));
        Assert.Null(GpuSelection.Choose(new EarlyExitModelOptions { GpuDeviceId = 0, FallbackToCpu = true }, s_cpu));
    }

    [Fact]
    public void A_gpu_that_cannot_be_had_names_the_package_to_add()
    {
        var exception = Assert.Throws<InvalidOperationException>(() => GpuSelection.Choose(new EarlyExitModelOptions { GpuDeviceId = 0 }, s_cpu));
        Assert.Contains("Microsoft.ML.OnnxRuntime.Gpu", exception.Message, StringComparison.Ordinal);
        Assert.Throws<InvalidOperationException>(() => EarlyExitModel.Load(TestModels.Bundle(TestModels.Exits), new EarlyExitModelOptions { GpuDeviceId = 0 }));
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
}
