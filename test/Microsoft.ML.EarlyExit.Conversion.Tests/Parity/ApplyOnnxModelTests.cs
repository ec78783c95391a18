using Microsoft.ML.Data;

namespace Microsoft.ML.EarlyExit.Conversion.Tests;

/// <summary>ML.NET's own ONNX transform opens the bundle's graphs where they lie: padded columns of fixed length, masks, a shape dictionary.</summary>
public sealed class ApplyOnnxModelTests(ConvertedModels models)
{
    private const int Sequence = 8;
    private const int Target = 4;

    [Fact]
    public void Every_layers_hidden_state_comes_out_of_a_pipeline()
    {
        string bundle = models.Bundle("t5-restaurants");
        var row = new Row { input_ids = [5, 6, 7, 1, 0, 0, 0, 0], attention_mask = [1, 1, 1, 1, 0, 0, 0, 0], decoder_input_ids = [0, 5, 6, 7] };
        var context = new MLContext();
        IDataView data = context.Data.LoadFromEnumerable([row]);
        int[] encoded = [1, Sequence, 256];
        int[] hidden = [1, Target, 256];
        var pipeline = context.Transforms
            .ApplyOnnxModel(
                ["encoder_hidden_states"], ["input_ids", "attention_mask"], Path.Combine(bundle, "encoder.onnx"),
                new Dictionary<string, int[]> { ["input_ids"] = [1, Sequence], ["attention_mask"] = [1, Sequence], ["encoder_hidden_states"] = encoded },
                gpuDeviceId: null, fallbackToCpu: false, recursionLimit: 100)
            .Append(context.Transforms.CopyColumns("encoder_attention_mask", "attention_mask"))
            .Append(context.Transforms.ApplyOnnxModel(
                ["hidden_states_0", "hidden_states_7", "hidden_states_12"], ["decoder_input_ids", "encoder_hidden_states", "encoder_attention_mask"],
                Path.Combine(bundle, "decoder-teacher-forced.onnx"),
                new Dictionary<string, int[]>
                {
                    ["decoder_input_ids"] = [1, Target],
                    ["encoder_attention_mask"] = [1, Sequence],
                    ["encoder_hidden_states"] = encoded,
                    ["hidden_states_0"] = hidden,
                    ["hidden_states_7"] = hidden,
                    ["hidden_states_12"] = hidden,
                },
                gpuDeviceId: null, fallbackToCpu: false, recursionLimit: 100));
        IDataView output = pipeline.Fit(data).Transform(data);

        using var plain = new TeacherForcedModel(bundle);
        int[] mask = [1, 1, 1, 1];
        float[][] expected = plain.Decode(plain.Encode([[5, 6, 7, 1]], [mask]), [mask], [[0, 5, 6, 7]]);
        foreach (int layer in new[] { 0, 7, 12 })
        {
            float[] actual = output.GetColumn<float[]>($"hidden_states_{layer}").Single();
            Assert.Equal(expected[layer].Length, actual.Length);
            for (int index = 0; index < actual.Length; index++)
                Assert.Equal(expected[layer][index], actual[index], 1e-3);
        }
    }

    private sealed class Row
    {
        [VectorType(Sequence)]
        public long[] input_ids { get; set; } = [];

        [VectorType(Sequence)]
        public long[] attention_mask { get; set; } = [];

        [VectorType(Target)]
        public long[] decoder_input_ids { get; set; } = [];
    }
}
