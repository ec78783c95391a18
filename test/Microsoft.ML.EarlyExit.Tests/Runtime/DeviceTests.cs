using Microsoft.ML.EarlyExit.Conversion;
using Microsoft.ML.EarlyExit.Files;
using Microsoft.ML.EarlyExit.Generation;
using Microsoft.ML.EarlyExit.Memory;
using Microsoft.ML.EarlyExit.Model;
using Microsoft.ML.EarlyExit.Model.Bundle;
using Microsoft.ML.EarlyExit.Runtime;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>What runs on a GPU, with the CPU provider in its place: its graphs, its memory and the way between it and the host's.</summary>
[Collection("Native memory")]
public sealed class DeviceTests : IDisposable
{
    private readonly TemporaryFolder _folder = new(Path.GetTempPath());

    public static TheoryData<string, string, int> Cases =>
    [
        .. from policy in StoredWeightsPolicies.All.Keys
           from model in (string[])[TestModels.Exits, "tiny-v10", "tiny-buckets"]
           from slots in (int[])[1, 3]
           select new TheoryDataRow<string, string, int>(policy, model, slots),
    ];

    public void Dispose() => _folder.Dispose();

    [Theory]
    [MemberData(nameof(Cases))]
    public void A_device_generates_what_the_host_does(string policy, string name, int slots)
    {
        using EarlyExitModel device = Load(TestModels.Bundle(name));
        EarlyExitModel host = TestModels.Model(name);
        var options = new TextGenerationOptions
        {
            MaxNewTokens = 100, MinNewTokens = 70, BatchSize = slots, Exit = StoredWeightsPolicies.All[policy], Trace = true,
        };
        GenerationInput[] rows = [.. Enumerable.Range(0, 5).Select(row => GenerationInput.FromTokenIds([.. Ids(row), 1]))];
        IReadOnlyList<GenerationResult> expected = host.Generate(rows, options, TestContext.Current.CancellationToken);
        AssertEqual(expected, device.Generate(rows, options, TestContext.Current.CancellationToken));

        static IEnumerable<int> Ids(int row) => Enumerable.Range(1, 4 + (31 * row)).Select(id => 5 + (id * (row + 3) % 60));
    }

    [Theory]
    [InlineData(WeightPrecision.Float32)]
    [InlineData(WeightPrecision.BFloat16)]
    public void A_large_head_is_multiplied_on_the_device(WeightPrecision weights)
    {
        string bundle = Path.Combine(_folder.Path, "bundle");
        T5Converter.Convert(TestModels.Checkpoint(TestModels.Demo), bundle, new T5ConversionOptions { Weights = weights });
        using EarlyExitModel host = EarlyExitModel.Load(bundle);
        using EarlyExitModel device = Load(bundle);
        Assert.NotNull(device.Head.Device);
        Assert.Null(device.Head.Screen);
        GenerationInput[] rows = [.. DemoPrompts.Read("describe-test", 6), .. DemoPrompts.Read("question-test", 6)];
        foreach (ExitPolicy policy in new[] { StoredWeightsPolicies.All["full depth"], new ExitPolicy { MinimumLayer = 4, Threshold = 0.9f } })
        {
            var options = new TextGenerationOptions { MaxNewTokens = 40, BatchSize = 3, Exit = policy, Trace = true };
            AssertEqual(
                host.Generate(rows, options, TestContext.Current.CancellationToken), device.Generate(rows, options, TestContext.Current.CancellationToken));
        }
    }

    [Fact]
    public void A_small_head_stays_with_the_host()
    {
        using EarlyExitModel device = Load(TestModels.Bundle(TestModels.Exits));
        Assert.NotNull(device.Sessions.Device);
        Assert.Null(device.Head.Device);
    }

    [Theory]
    [InlineData(StatePropagation.StateCopy)]
    [InlineData(StatePropagation.ParallelDecoding)]
    public void Rows_that_are_forked_rolled_back_and_replaced_go_on_as_on_the_host(StatePropagation propagation)
    {
        using EarlyExitModel device = Load(TestModels.Bundle(TestModels.Exits));
        for (int seed = 0; seed < 12; seed++)
        {
            var random = new Random(seed);
            const int Slots = 4;
            DecoderSegment[] segments = ScriptedBatch.RandomSegments(random, device.Configuration.DecoderLayerCount);
            using var there = new ScriptedBatch(device, Slots, segments, propagation, 200);
            using var here = new ScriptedBatch(TestModels.Exits, Slots, segments, propagation, 200);
            for (int slot = 0; slot < Slots; slot++)
                Admit(slot, 8);
            for (int round = 0; round < 6; round++)
            {
                int at = random.Next(Slots);
                switch (random.Next(3))
                {
                    case 0:
                        // Of any length: longer ones make the caches of all slots grow.
                        Admit(at, random.Next(1, 150));
                        break;
                    case 1:
                        int length = random.Next(here.Batch.Length(at) + 1);
                        Both(batch => batch.Batch.RollBack(at, length));
                        break;
                    default:
                        Both(batch => batch.Batch.Fork(at, (at + 1) % Slots));
                        break;
                }

                for (int steps = random.Next(1, 16); steps > 0; steps--)
                {
                    int[] running = [.. Enumerable.Range(0, Slots).Where(_ => random.Next(6) > 0)];
                    int[] tokens = [.. running.Select(_ => random.Next(2, 250))];
                    int[] exits = [.. running.Select(_ => random.Next(segments.Length))];
                    Both(batch => batch.Run(running, tokens, exits));
                    foreach (int slot in running)
                        ScriptedBatch.AssertSame(here.Rows[slot][^1], there.Rows[slot][^1]);
                }
            }

            void Both(Action<ScriptedBatch> action)
            {
                action(there);
                action(here);
            }

            void Admit(int slot, int length)
            {
                int[] ids = [.. Enumerable.Range(0, length).Select(_ => random.Next(2, 250))];
                Both(batch => batch.Admit(slot, ids));
            }
        }
    }

    [Fact]
    public void A_row_that_fails_leaves_nothing_to_others_beside_it_or_after_it()
    {
        using var tampered = new TamperedBundle();
        tampered.EditTensor("embedding", 200 * 48, 48, float.NaN);
        using EarlyExitModel device = Load(tampered.Folder);
        GenerationInput[] inputs = [.. new int[][] { [9, 12, 40, 1], [77, 5, 1], [30, 31, 1], [61, 62, 63, 1] }.Select(GenerationInput.FromTokenIds)];
        GenerationInput bad = GenerationInput.FromTokenIds([200, 12, 45, 46, 47, 48, 1]);
        foreach (ExitPolicy policy in StoredWeightsPolicies.All.Values)
        {
            var options = new TextGenerationOptions { MaxNewTokens = 12, BatchSize = 2, Exit = policy };
            IReadOnlyList<GenerationResult> expected = device.Generate(inputs, options, TestContext.Current.CancellationToken);
            Assert.All(expected, row => Assert.Null(row.Error));

            // The others follow it in both slots.
            IReadOnlyList<GenerationResult> actual =
                device.Generate([bad, inputs[0], bad, inputs[1], inputs[2], inputs[3]], options, TestContext.Current.CancellationToken);
            Assert.Equal(StopReason.Error, actual[0].StopReason);
            Assert.Equal(StopReason.Error, actual[2].StopReason);
            Assert.Equal(expected.Select(row => row.TokenIds), new[] { actual[1], actual[3], actual[4], actual[5] }.Select(row => row.TokenIds));
        }
    }

    [Fact]
    public void Scores_of_targets_are_the_hosts()
    {
        using EarlyExitModel device = Load(TestModels.Bundle(TestModels.Exits));
        float[][] expected = Decode(TestModels.Model(TestModels.Exits));
        float[][] actual = Decode(device);
        for (int layer = 0; layer < expected.Length; layer++)
        {
            foreach ((float one, float other) in expected[layer].Zip(actual[layer]))
                Assert.Equal(one, other, 1e-4 * expected[layer].Max(Math.Abs));
        }

        static float[][] Decode(EarlyExitModel model)
        {
            using var run = new RunOptions();
            using EncodedInput input = EncodedInput.Encode(model.Sessions.Encoder, [9, 12, 40, 1], model.Configuration.ModelDimension, run);
            using var decoder = new TeacherForcedDecoder(model.Sessions, model.Configuration, run);
            decoder.Decode(input, [5, 6, 7, 8, 9, 1]);
            return [.. Enumerable.Range(0, model.Configuration.DecoderLayerCount + 1).Select(layer => decoder.Hidden(layer).ToArray())];
        }
    }

    [Fact]
    public void Several_threads_share_a_device()
    {
        using EarlyExitModel device = Load(TestModels.Bundle(TestModels.Exits));
        ExitPolicy policy = StoredWeightsPolicies.All["softmax, state copying"];
        var options = new TextGenerationOptions { MaxNewTokens = 80, MinNewTokens = 80, BatchSize = 2, Exit = policy };
        GenerationInput[][] parts =
        [
            .. Enumerable.Range(0, 4).Select(part => (GenerationInput[])[.. Enumerable.Range(0, 3).Select(row =>
                GenerationInput.FromTokenIds([5 + part, 9 + row, 40 + (part * row), 1]))]),
        ];
        IReadOnlyList<int>[][] expected = [.. parts.Select(Generate)];
        var actual = new IReadOnlyList<int>[parts.Length][];
        Parallel.For(0, parts.Length, part => actual[part] = Generate(parts[part]));
        Assert.Equal(expected, actual);

        IReadOnlyList<int>[] Generate(GenerationInput[] rows) => [.. device.Generate(rows, options).Select(row => row.TokenIds)];
    }

    [Fact]
    public void All_memory_is_given_back()
    {
        long before = NativeBuffer.LiveBytes;
        using (EarlyExitModel device = Load(TestModels.Bundle(TestModels.Exits)))
        {
            foreach (ExitPolicy policy in StoredWeightsPolicies.All.Values)
            {
                var options = new TextGenerationOptions { MaxNewTokens = 80, MinNewTokens = 80, Exit = policy };
                _ = device.Generate([GenerationInput.FromTokenIds([9, 12, 1])], options, TestContext.Current.CancellationToken);
                Assert.Equal(0, device.Sessions.Device!.TensorCount);
            }
        }

        Assert.Equal(before, NativeBuffer.LiveBytes);
    }

    [Fact]
    public void What_nobody_owns_is_given_back_with_the_device()
    {
        EarlyExitModel device = Load(TestModels.Bundle(TestModels.Exits));
        DeviceMemory memory = device.Sessions.Device!;
        DeviceTensor abandoned = memory.Allocate(TensorElementType.Float, 3, 5);
        Assert.Equal(1, memory.TensorCount);
        device.Dispose();
        Assert.Equal(0, memory.TensorCount);
        abandoned.Dispose();
    }

    [Theory]
    [InlineData(StatePropagation.StateCopy)]
    [InlineData(StatePropagation.ParallelDecoding)]
    public void Memory_that_runs_out_anywhere_ends_its_call_alone(StatePropagation propagation)
    {
        int left = int.MaxValue;
        using EarlyExitModel device = Load(TestModels.Bundle(TestModels.Exits), StandIn with { Allocating = () => ThrowIf(left-- <= 0) });
        var options = new TextGenerationOptions
        {
            MaxNewTokens = 70, MinNewTokens = 70, BatchSize = 2,
            Exit = new ExitPolicy { MinimumLayer = 2, Threshold = 0.5f, StatePropagation = propagation },
        };
        GenerationInput[] rows = [GenerationInput.FromTokenIds([9, 12, 40, 1]), GenerationInput.FromTokenIds([.. Enumerable.Range(2, 90)])];
        IReadOnlyList<GenerationResult> expected = device.Generate(rows, options, TestContext.Current.CancellationToken);
        int allocations = int.MaxValue - left;
        Assert.InRange(allocations, 20, 200);
        for (int before = 0; before < allocations; before++)
        {
            left = before;
            var exception = Assert.Throws<InvalidOperationException>(() => device.Generate(rows, options, TestContext.Current.CancellationToken));
            Assert.StartsWith("ONNX Runtime could not run the model on CUDA device 0: ", exception.Message, StringComparison.Ordinal);
            Assert.Equal(0, device.Sessions.Device!.TensorCount);
        }

        left = int.MaxValue;
        AssertSame(expected, device.Generate(rows, options, TestContext.Current.CancellationToken));
    }

    [Fact]
    public void A_device_that_takes_no_more_sessions_ends_its_call_and_the_cpu_follows()
    {
        bool isFull = false;
        using EarlyExitModel device = Load(
            TestModels.Bundle(TestModels.Exits), StandIn with { AppendTo = _ => RefuseIf(isFull) },
            new EarlyExitModelOptions { GpuDeviceId = 0, FallbackToCpu = true });
        Assert.DoesNotContain(device.Warnings, IsOfDevice);
        Assert.Contains(DeviceGraph.Positions, device.Sessions.Encoder.InputMetadata.Keys);
        GenerationInput[] rows = [GenerationInput.FromTokenIds([9, 12, 40, 1]), GenerationInput.FromTokenIds([5, 1])];
        _ = device.Generate(rows, new TextGenerationOptions { MaxNewTokens = 2 }, TestContext.Current.CancellationToken);

        // A policy needs other segments.
        isFull = true;
        var options = new TextGenerationOptions { MaxNewTokens = 20, MinNewTokens = 20, Exit = StoredWeightsPolicies.All["softmax, state copying"] };
        var exception = Assert.Throws<InvalidOperationException>(() => device.Generate(rows, options, TestContext.Current.CancellationToken));
        Assert.StartsWith("This call began on a CUDA device", exception.Message, StringComparison.Ordinal);
        Assert.Single(device.Warnings, IsOfDevice);

        // The encoder goes with the rest, and what may still run on the device is not said to be the bundle's fault.
        Assert.Null(device.Sessions.Device);
        Assert.DoesNotContain(DeviceGraph.Positions, device.Sessions.Encoder.InputMetadata.Keys);
        AssertSame(
            TestModels.Model(TestModels.Exits).Generate(rows, options, TestContext.Current.CancellationToken),
            device.Generate(rows, options, TestContext.Current.CancellationToken));
        var failure = Assert.IsType<InvalidOperationException>(device.Sessions.Failure(Failing()));
        Assert.Contains("CUDA device", failure.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_device_that_takes_the_encoder_and_cannot_run_it_is_found_when_loading(bool fallbackToCpu)
    {
        // As it is where bf16 cannot be multiplied: not before the encoder runs.
        ExecutionDevice broken = StandIn with { AppendTo = options => options.AddFreeDimensionOverrideByName("sequence", 7) };
        var options = new EarlyExitModelOptions { GpuDeviceId = 0, FallbackToCpu = fallbackToCpu };
        if (!fallbackToCpu)
        {
            var exception = Assert.Throws<InvalidOperationException>(() => Load(TestModels.Bundle(TestModels.Exits), broken, options));
            Assert.StartsWith("CUDA device 0 was requested and cannot be used: ", exception.Message, StringComparison.Ordinal);
            return;
        }

        using EarlyExitModel model = Load(TestModels.Bundle(TestModels.Exits), broken, options);
        Assert.Single(model.Warnings, IsOfDevice);
        Assert.Null(model.Sessions.Device);
        GenerationInput[] rows = [GenerationInput.FromTokenIds([9, 12, 40, 1])];
        AssertSame(
            TestModels.Model(TestModels.Exits).Generate(rows, cancellationToken: TestContext.Current.CancellationToken),
            model.Generate(rows, cancellationToken: TestContext.Current.CancellationToken));
    }

    [Fact]
    public void A_head_that_a_device_cannot_take_is_the_hosts()
    {
        // The encoder is the first.
        int sessions = 0;
        using EarlyExitModel model = Load(
            TestModels.Bundle(TestModels.Demo), StandIn with { AppendTo = _ => RefuseIf(++sessions > 1) },
            new EarlyExitModelOptions { GpuDeviceId = 0, FallbackToCpu = true });
        Assert.Null(model.Head.Device);
        Assert.NotNull(model.Head.Screen);
        Assert.Single(model.Warnings, IsOfDevice);

        // None was made of the head in its place.
        Assert.Equal(1, model.Sessions.Count);
    }

    private static ExecutionDevice StandIn { get; } = new(
        options => options.AddSessionConfigEntry("session.strict_shape_type_inference", "1"), () => OrtMemoryInfo.DefaultInstance, MultipliesBFloat16: false);

    private static EarlyExitModel Load(string bundle, ExecutionDevice? device = null, EarlyExitModelOptions? options = null) =>
        EarlyExitModel.Load(ModelBundle.Open(bundle, copyWeights: false), options ?? new EarlyExitModelOptions { GpuDeviceId = 0 }, device ?? StandIn);

    private static void ThrowIf(bool fails)
    {
        if (fails)
            throw Failing();
    }

    private static void RefuseIf(bool refuses)
    {
        if (refuses)
            throw new DllNotFoundException("The stand-in takes no more sessions.");
    }

    private static bool IsOfDevice(string warning) => warning.Contains("CUDA device 0", StringComparison.Ordinal);

    /// <summary>An exception of ONNX Runtime's, which has no constructor for others.</summary>
    private static OnnxRuntimeException Failing() => Assert.Throws<OnnxRuntimeException>(() => new InferenceSession((byte[])[1, 2, 3]));

    private static void AssertSame(IReadOnlyList<GenerationResult> expected, IReadOnlyList<GenerationResult> actual)
    {
        Assert.All(expected.Concat(actual), row => Assert.Null(row.Error));
        Assert.Equal(expected.Select(row => row.TokenIds), actual.Select(row => row.TokenIds));
        Assert.Equal(expected.Select(row => row.ExitLayers), actual.Select(row => row.ExitLayers));
    }

    private static void AssertEqual(IReadOnlyList<GenerationResult> expected, IReadOnlyList<GenerationResult> actual)
    {
        AssertSame(expected, actual);
        foreach ((GenerationResult one, GenerationResult other) in expected.Zip(actual))
        {
            Assert.Equal(one.Confidences!.Count, other.Confidences!.Count);
            foreach ((float confidence, float same) in one.Confidences!.Zip(other.Confidences!))
                Assert.Equal(confidence, same, 1e-4);
        }
    }
}
