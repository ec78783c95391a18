using System.Globalization;
using Microsoft.ML.EarlyExit.Model.Bundle;
using Microsoft.ML.EarlyExit.Model.Weights;
using Microsoft.ML.OnnxRuntime;

namespace Microsoft.ML.EarlyExit.Runtime;

/// <summary>What one row takes at its peak where all its positions run at once, estimated before it runs: what attention has for pairs of positions grows with
/// the square of the length.</summary>
internal static class RowMemory
{
    // Tensors of one number per head and pair of positions that live at once: the bias as it is looked up, turned and masked, or the bias, the scores and
    // their softmax, where those are in memory.
    private const long PairTensors = 3;

    // Two of the tensors of 64-bit distances that the bias is looked up by.
    private const long DistanceBytes = 2 * sizeof(long);

    /// <summary>The limit where the options have none: half of what the process may have, its container's limit regarded.</summary>
    public static long DefaultLimit => GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / 2;

    /// <summary>Bytes that the encoder takes for a row.</summary>
    public static long Encoder(ModelBundle bundle, int length) => Pairs(bundle, length, length) + Positions(bundle, length);

    /// <summary>Bytes that the teacher-forced decoder takes for a row, the hidden states that it returns included.</summary>
    /// <param name="bundle">The model.</param>
    /// <param name="inputLength">Encoder positions.</param>
    /// <param name="targetLength">Decoder positions.</param>
    /// <param name="onDevice">Whether in standard operators, which have all scores of the cross-attention in memory.</param>
    public static long TeacherForcedDecoder(ModelBundle bundle, int inputLength, int targetLength, bool onDevice)
    {
        T5Configuration sizes = bundle.Configuration;
        long states = (sizes.DecoderLayerCount + 1L) * targetLength * sizes.ModelDimension * sizeof(float);
        return Pairs(bundle, targetLength, targetLength) + (onDevice ? Pairs(bundle, targetLength, inputLength) : 0)
            + Positions(bundle, targetLength) + Positions(bundle, inputLength) + states;
    }

    /// <summary>Why a row cannot run in a limit; null where it can.</summary>
    /// <param name="what">What would take the memory.</param>
    /// <param name="bytes">Its estimate.</param>
    /// <param name="limit">The limit.</param>
    public static string? Check(string what, long bytes, long limit) => bytes <= limit
        ? null
        : string.Create(
            CultureInfo.InvariantCulture,
            $"{what} would take about {Megabytes(bytes)} MB of memory, more than the limit of {Megabytes(limit)} MB.")
            + " Shorten the text, lower MaxInputTokens so that it is cut, or raise EncoderMemoryMB.";

    /// <summary>The error of a row that memory ran out for.</summary>
    /// <param name="what">What takes the memory.</param>
    /// <param name="bytes">Its estimate.</param>
    public static string Exhausted(string what, long bytes) =>
        string.Create(CultureInfo.InvariantCulture, $"{what} takes about {Megabytes(bytes)} MB of memory, and it ran out.")
        + " Shorten the text, lower MaxInputTokens so that it is cut, or run less at the same time.";

    /// <summary>Whether an exception says that memory could not be had.</summary>
    public static bool IsExhausted(Exception exception) =>
        exception is OutOfMemoryException
        || (exception is OnnxRuntimeException && s_exhausted.Any(sign => exception.Message.Contains(sign, StringComparison.OrdinalIgnoreCase)));

    // ONNX Runtime has no error code for it: what its allocator says, and the exceptions of the C++ libraries.
    private static readonly string[] s_exhausted = ["Failed to allocate memory", "bad_alloc", "bad allocation", "bad array new length", "out of memory"];

    private static long Megabytes(long bytes) => (bytes + (1 << 20) - 1) >> 20;

    private static long Pairs(ModelBundle bundle, long queries, long keys) =>
        queries * keys * ((PairTensors * bundle.Configuration.HeadCount * sizeof(float)) + DistanceBytes);

    /// <summary>What grows with the length alone: hidden states, queries, keys and values, and the feed-forward layer's inner states.</summary>
    private static long Positions(ModelBundle bundle, long length)
    {
        T5Configuration sizes = bundle.Configuration;
        long inner = (long)sizes.HeadCount * bundle.Manifest.GraphHeadDimension;
        long states = length * sizeof(float) * ((4L * sizes.ModelDimension) + (6 * inner) + (sizes.GatedFeedForward ? 3L : 2L) * sizes.FeedForwardDimension);

        // Products of whole numbers round their inputs to 16 bits at most.
        long rounded = WeightFormat.Of(bundle.Manifest.Precision).HasScales ? length * sizeof(short) * Math.Max(inner, sizes.FeedForwardDimension) : 0;
        return states + rounded;
    }
}
