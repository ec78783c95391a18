using Google.Protobuf;
using Microsoft.ML.EarlyExit.Conversion;
using Microsoft.ML.EarlyExit.Files;
using Microsoft.ML.EarlyExit.Memory;
using Microsoft.ML.EarlyExit.Model;
using Microsoft.ML.EarlyExit.Model.Bundle;
using Microsoft.ML.EarlyExit.Model.Graphs;
using Microsoft.ML.EarlyExit.Onnx;
using Microsoft.ML.EarlyExit.Runtime;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>On a machine with a CUDA device, as <c>build/gpu-check.sh</c> runs them.</summary>
public sealed class GpuTests : IDisposable
{
    private const int PromptsOfEachTask = 20;

    // The arithmetic of fp32 is that of the CPU but for the order of sums.
    private const float NearTie = 1e-4f;

    // What rounding the products' inputs and outputs to eight bits may change the lead of a logit by: 0.04 in a one-off trial on a CPU.
    private const float RoundedNearTie = 0.1f;

    private readonly TemporaryFolder _folder = new(Path.GetTempPath());

    public static TheoryData<WeightPrecision> Weights => [WeightPrecision.Float32, WeightPrecision.BFloat16];

    public void Dispose() => _folder.Dispose();

    [Theory(Explicit = true)]
    [MemberData(nameof(Weights))]
    public void No_node_falls_to_the_cpu(WeightPrecision weights)
    {
        // Making a session fails where one would.
        using EarlyExitModel model = OnGpu(Convert(weights));
        model.WarmUp(new TextGenerationOptions { BatchSize = 2 });
        foreach (StatePropagation propagation in Enum.GetValues<StatePropagation>())
            model.WarmUp(new TextGenerationOptions { BatchSize = 2, Exit = new ExitPolicy { MinimumLayer = 2, StatePropagation = propagation } });
        model.Loaded.WarmUpScoring();
        Assert.NotNull(model.Sessions.Device);
        Assert.NotNull(model.Head.Device);
    }

    [Fact(Explicit = true)]
    public void A_node_that_would_fall_to_the_cpu_is_refused()
    {
        using var options = new SessionOptions { LogSeverityLevel = OrtLoggingLevel.ORT_LOGGING_LEVEL_FATAL };
        ExecutionDevice.Cuda(0).AppendTo(options);

        // An operator that the provider has no kernel for.
        var graph = new GraphProto
        {
            Name = "unique", Node = { new NodeProto { OpType = "Unique", Input = { "all" }, Output = { "unique" } } },
            Input = { GraphBuilder.ValueInfo("all", TensorProto.Types.DataType.Float, "count") },
            Output = { GraphBuilder.ValueInfo("unique", TensorProto.Types.DataType.Float, "unique_count") },
        };
        byte[] model = new ModelProto { IrVersion = 9, Graph = graph, OpsetImport = { new OperatorSetIdProto { Domain = "", Version = 19 } } }.ToByteArray();
        Assert.Contains("fallback", Assert.Throws<OnnxRuntimeException>(() => new InferenceSession(model, options)).Message, StringComparison.Ordinal);
    }

    [Theory(Explicit = true)]
    [MemberData(nameof(Weights))]
    public void Tokens_are_the_cpus_on_40_prompts(WeightPrecision weights)
    {
        string bundle = Convert(weights);
        using EarlyExitModel gpu = OnGpu(bundle);
        using EarlyExitModel cpu = EarlyExitModel.Load(bundle);
        GenerationInput[] prompts = [.. DemoPrompts.Read("describe-test", PromptsOfEachTask), .. DemoPrompts.Read("question-test", PromptsOfEachTask)];
        foreach (int batchSize in new[] { 1, 8 })
        {
            var options = new TextGenerationOptions { MaxNewTokens = 64, BatchSize = batchSize };
            IReadOnlyList<GenerationResult> expected = cpu.Generate(prompts, options, TestContext.Current.CancellationToken);
            IReadOnlyList<GenerationResult> actual = gpu.Generate(prompts, options, TestContext.Current.CancellationToken);
            int equal = 0;
            for (int row = 0; row < prompts.Length; row++)
            {
                Assert.Null(actual[row].Error);
                int at = expected[row].TokenIds.Zip(actual[row].TokenIds).TakeWhile(pair => pair.First == pair.Second).Count();
                if (at == expected[row].TokenIds.Count && at == actual[row].TokenIds.Count)
                {
                    equal++;
                    continue;
                }

                float lead = Lead(cpu, prompts[row], options, expected[row].TokenIds, at, actual[row].TokenIds[at]);
                Assert.True(
                    lead < (weights == WeightPrecision.BFloat16 ? RoundedNearTie : NearTie),
                    $"Prompt {row} differs from token {at} on, where the CPU's token leads by {lead}.");
            }

            int least = weights == WeightPrecision.BFloat16 ? 34 : 38;
            Assert.True(equal >= least, $"{equal} of {prompts.Length} prompts are equal, {batchSize} at a time: fewer than {least}.");
            TestContext.Current.TestOutputHelper?.WriteLine(
                $"{weights}, {batchSize} rows at a time: {equal} of {prompts.Length} prompts equal, the others up to a near-tie.");
        }
    }

    [Theory(Explicit = true)]
    [MemberData(nameof(Weights))]
    public void Rows_exit_as_on_the_cpu(WeightPrecision weights)
    {
        string bundle = Convert(weights);
        using EarlyExitModel gpu = OnGpu(bundle);
        using EarlyExitModel cpu = EarlyExitModel.Load(bundle);
        GenerationInput[] prompts = [.. DemoPrompts.Read("describe-test", PromptsOfEachTask), .. DemoPrompts.Read("question-test", PromptsOfEachTask)];
        foreach (ExitPolicy policy in StoredWeightsPolicies.All.Values)
        {
            var options = new TextGenerationOptions { MaxNewTokens = 64, BatchSize = 8, Exit = policy };
            IReadOnlyList<GenerationResult> expected = cpu.Generate(prompts, options, TestContext.Current.CancellationToken);
            IReadOnlyList<GenerationResult> actual = gpu.Generate(prompts, options, TestContext.Current.CancellationToken);
            Assert.All(actual, row => Assert.Null(row.Error));
            int equal = expected.Zip(actual).Count(pair =>
                pair.First.TokenIds.SequenceEqual(pair.Second.TokenIds) && pair.First.ExitLayers.SequenceEqual(pair.Second.ExitLayers));

            // With bf16, in a one-off trial on a CPU that rounded so, 9 in 10.
            double least = prompts.Length * (weights == WeightPrecision.BFloat16 ? 0.7 : 0.95);
            Assert.True(equal >= least, $"{equal} of {prompts.Length} prompts are equal with {policy}.");
        }
    }

    [Fact(Explicit = true)]
    public void What_is_copied_there_and_back_is_equal()
    {
        using EarlyExitModel gpu = OnGpu(Convert(WeightPrecision.BFloat16));
        DeviceMemory memory = gpu.Sessions.Device!;
        using var from = new BoundBuffer<float>(3, 1000);
        using var to = new BoundBuffer<float>(3, 1000);
        for (int at = 0; at < from.Values.Length; at++)
            from.Values[at] = at == 7 ? -0f : at == 8 ? float.NaN : at * 0.1f;
        using DeviceTensor there = memory.Allocate(TensorElementType.Float, 3, 1000);
        memory.Copy(from.View, there.Value);
        memory.Copy(there.Value, to.View);
        Assert.Equal(from.Values.ToArray(), to.Values.ToArray());
    }

    /// <summary>By how much, on the CPU, the logit of the token at a position of its own output exceeds that of another.</summary>
    private static unsafe float Lead(
        EarlyExitModel cpu, GenerationInput prompt, TextGenerationOptions options, IReadOnlyList<int> tokens, int position, int other)
    {
        int width = cpu.Configuration.ModelDimension;
        using var run = new RunOptions();
        using OnnxThreadPool.Lane lane = cpu.Sessions.ThreadPool.CreateLane();
        using EncodedInput input = EncodedInput.Encode(cpu.Sessions.Encoder, cpu.Loaded.Prepare(prompt, options).TokenIds, width, run);
        using var decoder = new TeacherForcedDecoder(cpu.Sessions, cpu.Configuration, run);
        decoder.Decode(input, [.. tokens.Take(position + 1)]);
        var normed = new float[width];
        var logits = new float[cpu.Configuration.VocabularySize];
        cpu.Head.Normalize(decoder.Hidden(cpu.Configuration.DecoderLayerCount, position), normed);
        cpu.Head.Multiply(lane, normed, 1, logits);
        return logits[tokens[position]] - logits[other];
    }

    private static EarlyExitModel OnGpu(string bundle) =>
        EarlyExitModel.Load(bundle, new EarlyExitModelOptions { GpuDeviceId = 0 });

    private string Convert(WeightPrecision weights)
    {
        string bundle = Path.Combine(_folder.Path, $"{weights}");
        T5Converter.Convert(TestModels.Checkpoint(TestModels.Demo), bundle, new T5ConversionOptions { Weights = weights });
        return bundle;
    }
}
