using System.Buffers.Binary;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>A copy of a checkpoint whose matrices are rounded to bfloat16 beforehand, in plain arithmetic; norms and biases stay as they are.</summary>
internal static class RoundedCheckpoint
{
    /// <param name="source">The checkpoint, of F32 and F16 tensors.</param>
    /// <param name="target">The folder to create.</param>
    /// <param name="asBFloat16">Whether the copy stores its matrices as BF16, rather than as rounded F32.</param>
    public static void Write(string source, string target, bool asBFloat16)
    {
        Directory.CreateDirectory(target);
        foreach (string path in Directory.GetFiles(source).Where(path => Path.GetFileName(path) != "model.safetensors"))
            File.Copy(path, Path.Combine(target, Path.GetFileName(path)));
        byte[] file = File.ReadAllBytes(Path.Combine(source, "model.safetensors"));
        int headerLength = (int)BinaryPrimitives.ReadInt64LittleEndian(file);
        using var header = JsonDocument.Parse(file.AsMemory(8, headerLength));
        var written = new JsonObject();
        using var data = new MemoryStream();
        foreach (JsonProperty tensor in header.RootElement.EnumerateObject().Where(property => property.Name != "__metadata__"))
        {
            long begin = data.Length;
            bool isMatrix = !tensor.Name.Contains("norm", StringComparison.Ordinal) && !tensor.Name.Contains("relative_attention", StringComparison.Ordinal);
            int[] offsets = [.. tensor.Value.GetProperty("data_offsets").EnumerateArray().Select(offset => offset.GetInt32())];
            ReadOnlySpan<byte> bytes = file.AsSpan(8 + headerLength + offsets[0], offsets[1] - offsets[0]);
            bool isHalf = tensor.Value.GetProperty("dtype").GetString() == "F16";
            for (int at = 0; at < bytes.Length; at += isHalf ? 2 : 4)
            {
                float value = isHalf ? (float)BinaryPrimitives.ReadHalfLittleEndian(bytes[at..]) : BinaryPrimitives.ReadSingleLittleEndian(bytes[at..]);
                byte[] stored = BitConverter.GetBytes(isMatrix ? Round(value) : value);
                data.Write(isMatrix && asBFloat16 ? stored[2..] : stored);
            }

            written[tensor.Name] = new JsonObject
            {
                ["dtype"] = isMatrix && asBFloat16 ? "BF16" : "F32",
                ["shape"] = JsonNode.Parse(tensor.Value.GetProperty("shape").GetRawText()),
                ["data_offsets"] = new JsonArray(begin, data.Length),
            };
        }

        byte[] json = Encoding.UTF8.GetBytes(written.ToJsonString());
        byte[] length = new byte[8];
        BinaryPrimitives.WriteInt64LittleEndian(length, json.Length);
        File.WriteAllBytes(Path.Combine(target, "model.safetensors"), [.. length, .. json, .. data.ToArray()]);
    }

    /// <summary>Eight significant bits, ties to even.</summary>
    private static float Round(float value)
    {
        if (value == 0)
            return value;
        double step = Math.ScaleB(1, Math.ILogB(value) - 7);
        return (float)(Math.Round(value / step, MidpointRounding.ToEven) * step);
    }
}
