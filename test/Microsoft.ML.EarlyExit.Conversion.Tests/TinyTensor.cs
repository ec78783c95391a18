using Microsoft.ML.EarlyExit.Conversion.Checkpoint;

namespace Microsoft.ML.EarlyExit.Conversion.Tests;

/// <summary>A tensor to be written: its values are already rounded to the data type.</summary>
internal sealed record TinyTensor(string Name, int[] Shape, CheckpointDataType DataType, float[] Values)
{
    public static TinyTensor Random(string name, int[] shape, CheckpointDataType dataType, Random random, float scale, float mean = 0)
    {
        var values = new float[shape.Aggregate(1, (product, dimension) => product * dimension)];
        for (int i = 0; i < values.Length; i++)
        {
            values[i] = Round(mean + (scale * ((2 * random.NextSingle()) - 1)), dataType);
        }

        return new TinyTensor(name, shape, dataType, values);
    }

    public byte[] ToBytes() => [.. Values.SelectMany(value => DataType switch
    {
        CheckpointDataType.F32 => BitConverter.GetBytes(value),
        CheckpointDataType.F16 => BitConverter.GetBytes((Half)value),
        _ => BitConverter.GetBytes((ushort)(BitConverter.SingleToUInt32Bits(value) >> 16)),
    })];

    private static float Round(float value, CheckpointDataType dataType) => dataType switch
    {
        CheckpointDataType.F32 => value,
        CheckpointDataType.F16 => (float)(Half)value,
        _ => BitConverter.UInt32BitsToSingle(BitConverter.SingleToUInt32Bits(value) & 0xFFFF0000),
    };
}
