using System.Buffers.Binary;
using System.Text;
using System.Text.Json.Nodes;
using Microsoft.ML.EarlyExit.Conversion.Checkpoint;
using Microsoft.ML.EarlyExit.Model.Bundle;

namespace Microsoft.ML.EarlyExit.Conversion.Tests;

/// <summary>A checkpoint of any size whose weights are all 0, half precision and, where the file system can, take no room.</summary>
internal static class SparseCheckpoint
{
    public static void Write(string folder, T5Configuration configuration)
    {
        Directory.CreateDirectory(folder);
        File.WriteAllText(Path.Combine(folder, "config.json"), TinyCheckpoint.CreateConfig(configuration).ToJsonString());
        var header = new JsonObject();
        long position = 0;
        foreach ((string name, int[] shape) in T5TensorShapes.Required(configuration).Prepend((T5TensorShapes.Shared, T5TensorShapes.Embedding(configuration))))
        {
            long end = position + (BundleTensor.ElementsOf(shape) * sizeof(ushort));
            header[name] = new JsonObject
            {
                ["dtype"] = "F16",
                ["shape"] = new JsonArray([.. shape.Select(dimension => JsonValue.Create(dimension))]),
                ["data_offsets"] = new JsonArray(position, end),
            };
            position = end;
        }

        byte[] json = Encoding.UTF8.GetBytes(header.ToJsonString());
        byte[] length = new byte[8];
        BinaryPrimitives.WriteInt64LittleEndian(length, json.Length);
        using FileStream file = File.Create(Path.Combine(folder, "model.safetensors"));
        file.Write(length);
        file.Write(json);
        file.SetLength(file.Position + position);
    }
}
