using System.Buffers;
using System.Text;
using System.Text.Json;

namespace Microsoft.ML.EarlyExit.Tool.Measurement;

/// <summary>All that a benchmark has measured.</summary>
internal sealed record BenchFigures
{
    /// <summary>The calls with the policy; null where there is none.</summary>
    public CallFigures? Policy { get; init; }

    /// <summary>The calls at full depth.</summary>
    public required CallFigures FullDepth { get; init; }

    /// <summary>Tokens a second with the policy, divided by those of the same round at full depth; null without a policy.</summary>
    public MeasuredRange? Speedup { get; init; }

    /// <summary>The same without the encoder.</summary>
    public MeasuredRange? DecodingSpeedup { get; init; }

    /// <summary>Rows whose tokens are those of full depth.</summary>
    public required int EqualOutputs { get; init; }

    /// <summary>Blocks that a token needed.</summary>
    public required double MeanExitLayer { get; init; }

    /// <summary>Milliseconds of the encoder, for a row.</summary>
    public required double EncoderMilliseconds { get; init; }

    /// <summary>Milliseconds of a decoder block, in a step of all rows side by side.</summary>
    public required double BlockMilliseconds { get; init; }

    /// <summary>Milliseconds of the product with the whole LM head, in such a step.</summary>
    public required double HeadMilliseconds { get; init; }

    /// <summary>Milliseconds of the product with the head's screen, which stands for the whole in a step; null where the head has none.</summary>
    public double? ScreenMilliseconds { get; init; }

    /// <summary>Of the logits that the screen estimated after a layer, the share that was multiplied again with the head's own rows; layers that have
    /// any.</summary>
    public required IReadOnlyList<(int Layer, double Share)> MultipliedAgain { get; init; }

    /// <summary>Milliseconds of a later step at full depth; null where there was none.</summary>
    public double? StepMilliseconds { get; init; }

    /// <summary>What such a step reads; null where there was none, and where it reads another memory than was measured: a GPU's.</summary>
    public StepReads? Reads { get; init; }

    /// <summary>Bytes a second that all threads read.</summary>
    public required double Bandwidth { get; init; }

    /// <summary>Bytes that the process had in memory when all was loaded, and generating.</summary>
    public required long ResidentBytes { get; init; }

    /// <summary>Seconds until the first token could be generated.</summary>
    public required double LoadSeconds { get; init; }

    /// <summary>Milliseconds that reading alone takes.</summary>
    public double? BoundMilliseconds => 1000 * Reads?.Total / Bandwidth;

    /// <summary>The share of the bandwidth that a later step reaches.</summary>
    public double? BandwidthShare => BoundMilliseconds / StepMilliseconds;

    /// <summary>The figures as one JSON object.</summary>
    public string ToJson()
    {
        var buffer = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(buffer, new JsonWriterOptions { Indented = true }))
        {
            json.WriteStartObject();
            (Policy ?? FullDepth).WriteTo(json);
            json.WriteStartObject("fullDepth");
            FullDepth.WriteTo(json);
            json.WriteEndObject();
            WriteRange(json, "speedup", Speedup);
            WriteRange(json, "decodingSpeedup", DecodingSpeedup);
            json.WriteNumber("equalOutputs", EqualOutputs);
            json.WriteNumber("meanExitLayer", MeanExitLayer);
            json.WriteNumber("encoderMs", EncoderMilliseconds);
            json.WriteNumber("blockMs", BlockMilliseconds);
            json.WriteNumber("headMs", HeadMilliseconds);
            WriteNumber(json, "screenMs", ScreenMilliseconds);
            // Parts that are not measured one by one.
            foreach (string name in (string[])["prunedMs", "shortlistMs", "propagationMs"])
                json.WriteNull(name);
            json.WriteNumber("bandwidthGBs", Bandwidth / 1e9);
            WriteNumber(json, "bandwidthShare", BandwidthShare);
            json.WriteNumber("residentMB", ResidentBytes / 1e6);
            json.WriteNumber("loadSeconds", LoadSeconds);
            json.WriteEndObject();
        }

        return Encoding.UTF8.GetString(buffer.WrittenSpan);
    }

    private static void WriteNumber(Utf8JsonWriter json, string name, double? value)
    {
        if (value is { } number)
            json.WriteNumber(name, number);
        else
            json.WriteNull(name);
    }

    private static void WriteRange(Utf8JsonWriter json, string name, MeasuredRange? range)
    {
        if (range is { } measured)
            measured.WriteTo(json, name);
        else
            json.WriteNull(name);
    }
}
