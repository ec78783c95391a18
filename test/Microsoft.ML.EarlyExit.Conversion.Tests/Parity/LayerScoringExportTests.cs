using Microsoft.ML.Data;
using Microsoft.ML.EarlyExit.Conversion.Graphs;
using Microsoft.ML.EarlyExit.Model.Bundle;
using Microsoft.ML.EarlyExit.Model.Graphs;
using Microsoft.ML.OnnxRuntime;

namespace Microsoft.ML.EarlyExit.Conversion.Tests;

/// <summary>The exported file of encoder and decoder, against the bundle's own graphs, and in ML.NET's own transform.</summary>
public sealed class LayerScoringExportTests(ConvertedModels models) : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    private string Onnx => Path.Combine(_folder.Path, "scoring.onnx");

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("tiny-v10", WeightPrecision.Float32)]
    [InlineData("tiny-v11", WeightPrecision.Float32)]
    [InlineData("tiny-v10", WeightPrecision.BFloat16)]
    [InlineData("tiny-v11", WeightPrecision.BFloat16)]
    [InlineData("tiny-v10", WeightPrecision.Int8)]
    [InlineData("tiny-v11", WeightPrecision.Int8)]
    [InlineData("tiny-v10", WeightPrecision.Int4)]
    public void It_computes_what_the_bundle_s_graphs_compute_also_beside_padding(string name, WeightPrecision weights)
    {
        string bundle = models.Bundle(name, weights);
        T5Converter.ExportLayerScoring(bundle, Onnx);
        int[][] ids = [[9, 12, 40, 1, 0, 0], [5, 6, 7, 8, 9, 1]];
        int[][] mask = [[1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 1]];
        int[][] target = [[0, 17, 5, 200], [0, 31, 9, 44]];
        using var session = new InferenceSession(Onnx);
        using var run = new RunOptions();
        using OrtValue idsValue = Integers(ids);
        using OrtValue maskValue = Integers(mask);
        using OrtValue targetValue = Integers(target);
        using IDisposableReadOnlyCollection<OrtValue> outputs =
            session.Run(run, ["input_ids", "attention_mask", "decoder_input_ids"], [idsValue, maskValue, targetValue], session.OutputNames);
        using var plain = new TeacherForcedModel(bundle);
        float[][] expected = plain.Decode(plain.Encode(ids, mask), mask, target);
        using EarlyExitModel model = EarlyExitModel.Load(bundle);
        int layers = model.Configuration.DecoderLayerCount;
        Assert.Equal((2 * layers) + 1, session.OutputNames.Count);
        for (int layer = 0; layer <= layers; layer++)
        {
            float[] hidden = outputs[session.OutputNames.ToList().IndexOf($"hidden_states_{layer}")].GetTensorDataAsSpan<float>().ToArray();
            Assert.Equal(expected[layer].Length, hidden.Length);
            for (int index = 0; index < hidden.Length; index++)
                Assert.Equal(expected[layer][index], hidden[index], 1e-3);
        }

        for (int layer = 1; layer <= layers; layer++)
        {
            long[] argMax = outputs[session.OutputNames.ToList().IndexOf($"argmax_{layer}")].GetTensorDataAsSpan<long>().ToArray();
            Assert.Equal(8, argMax.Length);
            for (int position = 0; position < argMax.Length; position++)
            {
                float[] logits = Logits(model, expected[layer].AsSpan(position * model.Configuration.ModelDimension, model.Configuration.ModelDimension));

                // Where two tokens are as likely as each other, rounding decides.
                Assert.InRange(logits[argMax[position]], logits.Max() - 1e-3f, logits.Max());
            }
        }
    }

    [Fact]
    public void ML_NETs_own_transform_says_what_the_library_says_also_after_saving_and_loading()
    {
        string bundle = models.Bundle("t5-restaurants");
        T5Converter.ExportLayerScoring(bundle, Onnx);
        var context = new MLContext();
        var row = new Row
        {
            input_ids = [5, 6, 7, 1, 0, 0, 0, 0], attention_mask = [1, 1, 1, 1, 0, 0, 0, 0], decoder_input_ids = [0, 5, 6, 7, 0, 0],
            Input = [5, 6, 7, 1], Target = [5, 6, 7, 1],
        };
        IDataView data = context.Data.LoadFromEnumerable([row]);
        string[] outputs = [.. Enumerable.Range(1, 12).Select(layer => $"argmax_{layer}")];
        var shapes = outputs.ToDictionary(name => name, _ => new[] { 1, 6 });
        shapes["input_ids"] = shapes["attention_mask"] = [1, 8];
        shapes["decoder_input_ids"] = [1, 6];
        var pipeline = context.Transforms
            .ApplyOnnxModel(
                outputs, ["input_ids", "attention_mask", "decoder_input_ids"], Onnx, shapes, gpuDeviceId: null, fallbackToCpu: false, recursionLimit: 100)
            .Append(context.Transforms.Text.ScoreLayers("ArgMax", "Input", "Target", bundle));
        string zip = Path.Combine(_folder.Path, "model.zip");
        using (var fitted = pipeline.Fit(data))
            context.Model.Save(fitted, data.Schema, zip);
        File.Delete(Onnx);

        ITransformer loaded = new MLContext().Model.Load(zip, out _);
        IDataView scored = loaded.Transform(data);
        int[] argMax = scored.GetColumn<int[]>("ArgMax").Single();
        Assert.Equal(48, argMax.Length);
        for (int layer = 1; layer <= 12; layer++)
            Assert.Equal(argMax[((layer - 1) * 4)..(layer * 4)], scored.GetColumn<long[]>($"argmax_{layer}").Single()[..4].Select(id => (int)id));
        ((IDisposable)loaded).Dispose();
    }

    [Fact]
    public void An_older_file_is_replaced_and_an_impossible_place_refused()
    {
        string bundle = models.Bundle("tiny-v10");
        File.WriteAllText(Onnx, "old");
        T5Converter.ExportLayerScoring(bundle, Onnx);
        using (ModelBundle opened = ModelBundle.Open(bundle))
        {
            // What is refused from 2 GB on.
            var graphs = new T5GraphBuilder(opened.Configuration, opened.Manifest.Tensors.ToDictionary(tensor => tensor.Name), opened.Manifest.WeightsFile);
            Assert.Equal(new FileInfo(Onnx).Length, new SelfContainedModel(opened, graphs.LayerScoring(opened.Manifest.TensorNames.Head)).Bytes);
        }

        Assert.Equal([Onnx], Directory.GetFileSystemEntries(_folder.Path));
        Assert.Throws<DirectoryNotFoundException>(() => T5Converter.ExportLayerScoring(bundle, Path.Combine(_folder.Path, "absent", "a.onnx")));
        Assert.Throws<IOException>(() => T5Converter.ExportLayerScoring(bundle, _folder.Path));
        Assert.Throws<InvalidModelException>(() => T5Converter.ExportLayerScoring(_folder.Path, Onnx));
    }

    private static float[] Logits(EarlyExitModel model, ReadOnlySpan<float> hidden)
    {
        float[] normed = new float[hidden.Length];
        model.Head.Normalize(hidden, normed);
        float[] logits = new float[model.Configuration.VocabularySize];
        for (int id = 0; id < logits.Length; id++)
            logits[id] = System.Numerics.Tensors.TensorPrimitives.Dot(model.Head.Row(id), normed);
        return logits;
    }

    private static OrtValue Integers(int[][] rows) =>
        OrtValue.CreateTensorValueFromMemory<long>([.. rows.SelectMany(row => row.Select(value => (long)value))], [rows.Length, rows[0].Length]);

    private sealed class Row
    {
        [VectorType(8)]
        public long[] input_ids { get; set; } = [];

        [VectorType(8)]
        public long[] attention_mask { get; set; } = [];

        [VectorType(6)]
        public long[] decoder_input_ids { get; set; } = [];

        [VectorType]
        public int[] Input { get; set; } = [];

        [VectorType]
        public int[] Target { get; set; } = [];
    }
}
