using System.Buffers.Binary;
using System.Text.Json;

namespace Microsoft.ML.EarlyExit.Conversion.Tests;

/// <summary>A second, simplest reading of safetensors, to hold the real one against.</summary>
internal static class PlainReader
{
    public static Dictionary<string, (string DataType, int[] Shape, float[] Values)> Read(string path)
    {
        byte[] file = File.ReadAllBytes(path);
        int headerLength = (int)BinaryPrimitives.ReadUInt64LittleEndian(file);
        var tensors = new Dictionary<string, (string, int[], float[])>();
        using JsonDocument header = JsonDocument.Parse(file.AsMemory(8, headerLength));
        foreach (JsonProperty tensor in header.RootElement.EnumerateObject().Where(property => property.Name != "__metadata__"))
        {
            string dataType = tensor.Value.GetProperty("dtype").GetString()!;
            int[] shape = [.. tensor.Value.GetProperty("shape").EnumerateArray().Select(dimension => dimension.GetInt32())];
            int begin = 8 + headerLength + tensor.Value.GetProperty("data_offsets")[0].GetInt32();
            int count = shape.Aggregate(1, (product, dimension) => product * dimension);
            var values = new float[count];
            for (int i = 0; i < count; i++)
            {
                values[i] = dataType switch
                {
                    "F32" => BitConverter.ToSingle(file, begin + (4 * i)),
                    "F16" => (float)BitConverter.ToHalf(file, begin + (2 * i)),
                    "BF16" => BitConverter.UInt32BitsToSingle((uint)BitConverter.ToUInt16(file, begin + (2 * i)) << 16),
                    _ => throw new NotSupportedException(dataType),
                };
            }

            tensors.Add(tensor.Name, (dataType, shape, values));
        }

        return tensors;
    }
}
