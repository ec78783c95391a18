using System.Text.Json.Nodes;
using Microsoft.ML.EarlyExit.Conversion.Checkpoint;

namespace Microsoft.ML.EarlyExit.Benchmarks;

/// <summary>
/// The demo model at T5-large's cost, with the texts, confidences and exits that it has. Its values keep the first places of every tensor. The residual stream
/// is doubled, so that the norm over four times as many places stays what it was; nothing writes into the new places, and what only reads them is random.
/// Layers are spread evenly, and those between write nothing.
/// </summary>
internal static class WideT5
{
    private const int LayerCount = 24;

    /// <summary>Makes the checkpoint.</summary>
    /// <param name="demo">The demo model's folder.</param>
    /// <param name="folder">Takes the checkpoint, of 3 GB.</param>
    public static void Make(string demo, string folder)
    {
        RandomT5.WriteConfiguration("large", folder);
        JsonNode configuration = JsonNode.Parse(File.ReadAllText(Path.Combine(demo, "config.json")))!;
        int encoderStride = LayerCount / configuration["num_layers"]!.GetValue<int>();
        int decoderStride = LayerCount / configuration["num_decoder_layers"]!.GetValue<int>();
        foreach (string name in new[] { "generation_config.json", "spiece.model" })
            File.Copy(Path.Combine(demo, name), Path.Combine(folder, name), overwrite: true);
        using SafetensorsFile source = SafetensorsFile.Open(Path.Combine(demo, "model.safetensors"));
        Dictionary<string, CheckpointTensor> tensors = source.Tensors.ToDictionary(tensor => tensor.Name, StringComparer.Ordinal);
        RandomT5.WriteWeights("large", folder, (name, shape, values) => Widen(name, shape, values, Narrow(name)));

        CheckpointTensor? Narrow(string name)
        {
            string[] parts = name.Split('.');
            if (parts is not [string stack, "block", string number, ..])
                return tensors[name];
            int stride = stack == "encoder" ? encoderStride : decoderStride;
            int layer = int.Parse(number, System.Globalization.CultureInfo.InvariantCulture);
            if (layer % stride != 0)
                return null;
            parts[2] = (layer / stride).ToString(System.Globalization.CultureInfo.InvariantCulture);
            return tensors[string.Join('.', parts)];
        }
    }

    /// <summary>Puts a tensor of the demo model, or nothing, into its wide one, which is random.</summary>
    private static void Widen(string name, int[] shape, Span<float> values, CheckpointTensor? narrow)
    {
        bool isNorm = shape.Length == 1;
        bool isEmbedding = name == "shared.weight";
        // What adds to the residual stream, and what reads the doubled stream as it is.
        bool writes = name.EndsWith(".o.weight", StringComparison.Ordinal) || name.EndsWith(".wo.weight", StringComparison.Ordinal) || isEmbedding;
        if (writes)
            values.Clear();
        if (narrow is null)
            return;
        float[] source = new float[narrow.ElementCount];
        narrow.Read(0, source);
        float scale = isNorm ? 0.5f : writes ? 2 : 1;
        int columns = narrow.Shape[^1];
        for (int at = 0; at < source.Length; at++)
            values[(at / columns * shape[^1]) + (at % columns)] = source[at] * scale;
    }
}
