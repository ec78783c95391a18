using Google.Protobuf;
using Microsoft.ML.EarlyExit.Memory;
using Microsoft.ML.EarlyExit.Model;
using Microsoft.ML.EarlyExit.Model.Bundle;
using Microsoft.ML.EarlyExit.Model.Weights;
using Microsoft.ML.EarlyExit.Onnx;
using Microsoft.ML.EarlyExit.Runtime;
using Microsoft.ML.OnnxRuntime;

namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>
/// The decoder blocks' graphs as they are in the bundle, with ONNX Runtime's own attention: one row's positions run together, causal among themselves, behind a
/// past of their own, and are what this library's attention makes of them one by one.
/// </summary>
public sealed class ManyPositionsTests
{
    private const int Capacity = 16;

    private static readonly int[] s_tokens = [0, 17, 5, 200, 31, 9];
    private static readonly int[] s_inputIds = [5, 6, 7, 8, 1];

    [Theory]
    [InlineData(6)]
    [InlineData(2, 4)]
    [InlineData(1, 3, 2)]
    public void Positions_of_one_row_run_together_as_tokens_do_one_by_one(params int[] runs)
    {
        EarlyExitModel model = TestModels.Model(TestModels.Exits);
        float[] expected = OneByOne(model);
        float[] actual = Together(model, runs);
        double largest = expected.Max(Math.Abs);
        for (int index = 0; index < expected.Length; index++)
            Assert.Equal(expected[index], actual[index], 1e-5 * largest);
    }

    private static float[] OneByOne(EarlyExitModel model)
    {
        int layers = model.Configuration.DecoderLayerCount;
        using var run = new RunOptions();
        using EncodedInput input = EncodedInput.Encode(model.Sessions.Encoder, s_inputIds, model.Configuration.ModelDimension, run);
        using var batch = new DecoderBatch(
            model.Bundle, model.Sessions, 1, [new DecoderSegment(1, layers)], StatePropagation.StateCopy,
            s_tokens.Length, new OperationCosts(model.Configuration), run);
        batch.Admit(0, input);
        var hidden = new List<float>();
        foreach (int token in s_tokens)
        {
            batch.Embed([0], [token]);
            batch.Run(0, [0]);
            hidden.AddRange(batch.Hidden(0));
            batch.Advance(0, 0, exitsEarly: false);
        }

        return [.. hidden];
    }

    private static InferenceSession Session(ModelBundle bundle)
    {
        int layers = bundle.Configuration.DecoderLayerCount;
        ModelProto graphs = SegmentComposer.Compose(
            [.. Enumerable.Range(0, layers).Select(layer => BundleGraph.ReadDecoderBlock(bundle, layer))], firstLayer: 1, packed: false);
        foreach (TensorProto weight in graphs.Graph.Initializer.Where(one => one.DataLocation == TensorProto.Types.DataLocation.External))
            weight.ExternalData.First(entry => entry.Key == "location").Value = Path.GetFileName(bundle.WeightsPath);
        using var options = new SessionOptions();
        options.AddSessionConfigEntry("session.model_external_initializers_file_folder_path", Path.GetDirectoryName(bundle.WeightsPath)!);
        return new InferenceSession(graphs.ToByteArray(), options);
    }

    private static unsafe float[] Together(EarlyExitModel model, int[] runs)
    {
        T5Configuration configuration = model.Configuration;
        int layers = configuration.DecoderLayerCount;
        int width = configuration.ModelDimension;
        int heads = configuration.HeadCount;
        int headWidth = model.Bundle.Manifest.GraphHeadDimension;
        int keysValues = 2 * heads * headWidth;
        int length = s_inputIds.Length;
        var disposables = new Stack<IDisposable>();
        T Own<T>(T value)
            where T : IDisposable
        {
            disposables.Push(value);
            return value;
        }

        NativeBuffer Floats(int count) => Own(new NativeBuffer(count * sizeof(float)));
        OrtValue Integer(params int[] values)
        {
            NativeBuffer buffer = Own(new NativeBuffer(values.Length * sizeof(int)));
            values.CopyTo(buffer.Span<int>(0, values.Length));
            return Own(BoundTensor.Of<int>(buffer, values.Length));
        }

        OrtValue Scalar(int value)
        {
            NativeBuffer buffer = Own(new NativeBuffer(sizeof(int)));
            buffer.Span<int>(0, 1)[0] = value;
            return Own(BoundTensor.Of<int>(buffer));
        }

        try
        {
            RunOptions run = Own(new RunOptions());
            EncodedInput input = Own(EncodedInput.Encode(model.Sessions.Encoder, s_inputIds, width, run));
            var self = new KeyValueCache[layers];
            var cross = new KeyValueCache[layers];
            for (int layer = 0; layer < layers; layer++)
            {
                self[layer] = Own(new KeyValueCache(1, heads, headWidth, Capacity));
                cross[layer] = Own(new KeyValueCache(1, heads, headWidth, Capacity));
                NativeBuffer output = Floats(length * keysValues);
                OrtIoBinding crossBinding = Own(model.Sessions.CrossKeysValues(layer + 1).CreateIoBinding());
                crossBinding.BindInput(GraphContract.Hidden, input.Hidden);
                crossBinding.BindOutput(GraphContract.KeysValues, Own(BoundTensor.Floats(output, length, keysValues)));
                model.Sessions.CrossKeysValues(layer + 1).RunWithBinding(run, crossBinding);
                for (int position = 0; position < length; position++)
                    cross[layer].Store(0, position, output.Span<float>(position * keysValues, keysValues));
            }

            BundleTensorNames names = model.Bundle.Manifest.TensorNames;
            WeightTensor embedding = model.Bundle.Tensor(names.Embedding);
            ReadOnlySpan<float> bias = model.Bundle.Tensor(names.DecoderRelativeBias).Floats;
            InferenceSession session = Own(Session(model.Bundle));
            var result = new List<float>();
            int past = 0;
            foreach (int count in runs)
            {
                NativeBuffer hidden = Floats(count * width);
                NativeBuffer hiddenOut = Floats(count * width);
                NativeBuffer selfBias = Floats(heads * count * Capacity);
                NativeBuffer crossBias = Floats(count * Capacity);
                for (int at = 0; at < count; at++)
                {
                    embedding.ReadRow(s_tokens[past + at], hidden.Span<float>(at * width, width));
                    for (int head = 0; head < heads; head++)
                    {
                        Span<float> row = selfBias.Span<float>(((head * count) + at) * Capacity, Capacity);
                        row[0] = GraphContract.Masked;
                        for (int key = 0; key <= past + at; key++)
                            row[key + 1] = bias[((past + at - key) * heads) + head];
                    }

                    Span<float> crossRow = crossBias.Span<float>(at * Capacity, Capacity);
                    crossRow[0] = GraphContract.Masked;
                    crossRow[(length + 1)..].Fill(GraphContract.Masked);
                }

                OrtIoBinding binding = Own(session.CreateIoBinding());
                binding.BindInput(GraphContract.Hidden, Own(BoundTensor.Floats(hidden, 1, count, width)));
                binding.BindOutput(GraphContract.HiddenOut, Own(BoundTensor.Floats(hiddenOut, 1, count, width)));
                binding.BindInput(GraphContract.SelfBias, Own(BoundTensor.Floats(selfBias, 1, heads, count, Capacity)));
                binding.BindInput(GraphContract.SelfLengths, Integer(past + count));
                binding.BindInput(GraphContract.SelfCapacity, Scalar(Capacity));
                binding.BindInput(GraphContract.CrossBias, Own(BoundTensor.Floats(crossBias, 1, 1, count, Capacity)));
                binding.BindInput(GraphContract.CrossLengths, Integer(length + count));
                binding.BindInput(GraphContract.CrossCapacity, Scalar(Capacity));
                for (int layer = 0; layer < layers; layer++)
                {
                    foreach ((string cachePast, string present, OrtValue value) in new[]
                    {
                        (GraphContract.SelfKeys, GraphContract.PresentSelfKeys, self[layer].Keys),
                        (GraphContract.SelfValues, GraphContract.PresentSelfValues, self[layer].Values),
                        (GraphContract.CrossKeys, GraphContract.PresentCrossKeys, cross[layer].Keys),
                        (GraphContract.CrossValues, GraphContract.PresentCrossValues, cross[layer].Values),
                    })
                    {
                        binding.BindInput(SegmentComposer.CacheName(cachePast, layer + 1), value);
                        binding.BindOutput(SegmentComposer.CacheName(present, layer + 1), value);
                    }
                }

                session.RunWithBinding(run, binding);
                result.AddRange(hiddenOut.Span<float>(0, count * width));
                past += count;
            }

            return [.. result];
        }
        finally
        {
            while (disposables.TryPop(out IDisposable? disposable))
                disposable.Dispose();
        }
    }
}
