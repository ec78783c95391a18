using System.Diagnostics;
using System.Globalization;
using Microsoft.ML.EarlyExit.Head;
using Microsoft.ML.EarlyExit.Memory;
using Microsoft.ML.EarlyExit.Model;
using Microsoft.ML.EarlyExit.Model.Bundle;
using Microsoft.ML.EarlyExit.Onnx;
using Microsoft.ML.EarlyExit.Runtime;
using Microsoft.ML.OnnxRuntime;

namespace Microsoft.ML.EarlyExit.Generation;

/// <summary>What a step at full depth consists of: the memory that it reads, and the time of its parts.</summary>
internal static class FullDepthStep
{
    /// <summary>Bytes of the decoder blocks' weights as the kernels read them, scales included; cross-attention's keys and values are computed once a row and
    /// not counted.</summary>
    public static long BlockBytes(ModelBundle bundle)
    {
        long bytes = 0;
        for (int layer = 0; layer < bundle.Configuration.DecoderLayerCount; layer++)
        {
            GraphProto graph = BundleGraph.ReadDecoderBlock(bundle, layer).Graph;
            IReadOnlySet<string> widened = WidenedWeights.LeaveOutWidening(graph);
            foreach (TensorProto weight in graph.Initializer)
            {
                if (weight.DataLocation == TensorProto.Types.DataLocation.External)
                    bytes += widened.Contains(weight.Name) ? sizeof(float) * weight.Dims.Aggregate(1L, (count, size) => count * size) : StoredBytes(weight);
            }
        }

        return bytes;
    }

    /// <summary>Bytes of the LM head that a step reads: of its screen, where it has one, beside which the rows that are multiplied again are few.</summary>
    public static long HeadBytes(LoadedModel model) => model.Head.Screen is { } screen
        ? (long)screen.Rows * (screen.Width + (2 * sizeof(float)))
        : model.Bundle.TryGetTensor(model.Bundle.Manifest.TensorNames.Head, out BundleTensor head) ? head.ByteCount : 0;

    /// <summary>Bytes of the keys and values of one position of a row, in one attention of every layer.</summary>
    public static long PositionBytes(ModelBundle bundle) =>
        2L * bundle.Configuration.DecoderLayerCount * bundle.Configuration.HeadCount * bundle.Manifest.GraphHeadDimension * sizeof(float);

    /// <summary>
    /// Measures blocks and head of the steps of some rows side by side, in turns as when generating, so that each finds of the caches what the other leaves.
    /// </summary>
    /// <param name="model">The model.</param>
    /// <param name="inputs">The rows, checked.</param>
    /// <param name="steps">Steps to measure, from the second on: in the first cross-attention's keys and values are computed.</param>
    /// <param name="cancellationToken">Looked at between steps.</param>
    /// <returns>Milliseconds of each step: of one block on the average, of the product with the whole LM head, and of that with its screen, none where it has
    /// none.</returns>
    public static (double[] Block, double[] Head, double[] Screen) Measure(
        LoadedModel model, IReadOnlyList<PreparedInput> inputs, int steps, CancellationToken cancellationToken)
    {
        T5Configuration configuration = model.Configuration;
        int width = configuration.ModelDimension;
        int[] slots = [.. Enumerable.Range(0, inputs.Count)];
        int[] tokens = new int[slots.Length];
        Array.Fill(tokens, configuration.DecoderStartTokenId);
        var encoded = new List<EncodedInput>();
        double[] block = new double[steps], head = new double[steps], screen = new double[model.Head.Screen is null ? 0 : steps];
        using var run = new RunOptions();
        try
        {
            using var decoder = new DecoderBatch(
                model.Bundle, model.Sessions, slots.Length, [new DecoderSegment(1, configuration.DecoderLayerCount)], StatePropagation.StateCopy, steps + 1,
                new OperationCosts(configuration), run);
            using OnnxThreadPool.Lane lane = model.Sessions.ThreadPool.CreateLane();
            using ScreenProduct? estimates = model.Head.CreateEstimates(lane);
            using var normed = new NativeBuffer((long)slots.Length * width * sizeof(float));
            using var logits = new NativeBuffer((long)slots.Length * configuration.VocabularySize * sizeof(float));
            foreach (int slot in slots)
            {
                cancellationToken.ThrowIfCancellationRequested();
                encoded.Add(EncodedInput.Encode(model.Sessions.Encoder, inputs[slot].TokenIds, width, run));
                decoder.Admit(slot, encoded[slot]);
            }

            for (int step = 0; step <= steps; step++)
            {
                cancellationToken.ThrowIfCancellationRequested();
                decoder.Embed(slots, tokens);
                long start = Stopwatch.GetTimestamp();
                decoder.Run(0, slots);
                long blocksDone = Stopwatch.GetTimestamp();
                foreach (int slot in slots)
                    model.Head.Normalize(decoder.Hidden(slot), normed.Span<float>((long)slot * width, width));
                Span<float> inputsOfHead = normed.Span<float>(0, slots.Length * width);
                Span<float> products = logits.Span<float>(0, slots.Length * configuration.VocabularySize);
                long headStart = Stopwatch.GetTimestamp();
                model.Head.Multiply(lane, inputsOfHead, slots.Length, products);
                TimeSpan product = Stopwatch.GetElapsedTime(headStart);
                long screenStart = Stopwatch.GetTimestamp();
                estimates?.Run(inputsOfHead, slots.Length, isFine: false, products);
                TimeSpan estimate = Stopwatch.GetElapsedTime(screenStart);
                foreach (int slot in slots)
                    decoder.Advance(slot, slot, exitsEarly: false);
                if (step == 0)
                    continue;
                block[step - 1] = Stopwatch.GetElapsedTime(start, blocksDone).TotalMilliseconds / configuration.DecoderLayerCount;
                head[step - 1] = product.TotalMilliseconds;
                if (estimates is not null)
                    screen[step - 1] = estimate.TotalMilliseconds;
            }
        }
        finally
        {
            foreach (EncodedInput input in encoded)
                input.Dispose();
        }

        return (block, head, screen);
    }

    private static long StoredBytes(TensorProto weight) =>
        long.Parse(weight.ExternalData.Single(entry => entry.Key == "length").Value, CultureInfo.InvariantCulture);
}
