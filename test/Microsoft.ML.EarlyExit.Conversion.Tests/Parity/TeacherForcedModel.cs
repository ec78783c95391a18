using Microsoft.ML.OnnxRuntime;

namespace Microsoft.ML.EarlyExit.Conversion.Tests;

/// <summary>A bundle's encoder and teacher-forced decoder in plain ONNX Runtime, on padded batches.</summary>
internal sealed class TeacherForcedModel(string bundle) : IDisposable
{
    private readonly InferenceSession _encoder = new(Path.Combine(bundle, "encoder.onnx"));
    private readonly InferenceSession _decoder = new(Path.Combine(bundle, "decoder-teacher-forced.onnx"));

    /// <summary>[batch, sequence, d].</summary>
    public float[] Encode(int[][] ids, int[][] mask)
    {
        using RunOptions options = new();
        using OrtValue idsValue = Integers(ids);
        using OrtValue maskValue = Integers(mask);
        using IDisposableReadOnlyCollection<OrtValue> outputs =
            _encoder.Run(options, ["input_ids", "attention_mask"], [idsValue, maskValue], ["encoder_hidden_states"]);
        return outputs[0].GetTensorDataAsSpan<float>().ToArray();
    }

    /// <summary>For every layer, the embedding first: [batch, target, d].</summary>
    public float[][] Decode(float[] encoded, int[][] mask, int[][] decoderIds)
    {
        using RunOptions options = new();
        using OrtValue idsValue = Integers(decoderIds);
        using OrtValue maskValue = Integers(mask);
        long width = encoded.Length / (mask.Length * mask[0].Length);
        using OrtValue encodedValue = OrtValue.CreateTensorValueFromMemory(encoded, [mask.Length, mask[0].Length, width]);
        using IDisposableReadOnlyCollection<OrtValue> outputs = _decoder.Run(
            options, ["decoder_input_ids", "encoder_hidden_states", "encoder_attention_mask"], [idsValue, encodedValue, maskValue], _decoder.OutputNames);
        return [.. outputs.Select(output => output.GetTensorDataAsSpan<float>().ToArray())];
    }

    public void Dispose()
    {
        _encoder.Dispose();
        _decoder.Dispose();
    }

    private static OrtValue Integers(int[][] rows) =>
        OrtValue.CreateTensorValueFromMemory<long>([.. rows.SelectMany(row => row.Select(value => (long)value))], [rows.Length, rows[0].Length]);
}
