using System.Text.Json.Serialization;
using Microsoft.ML.EarlyExit.Model.Weights;

namespace Microsoft.ML.EarlyExit.Model.Bundle;

/// <summary>One tensor in the weights file: little endian, row-major, <paramref name="Offset"/> bytes from its start.</summary>
/// <param name="Name">Its name, which graphs use too.</param>
/// <param name="Shape">One or two dimensions.</param>
/// <param name="Offset">The place of its first byte.</param>
/// <param name="Type">How it is stored; the manifest is silent on single precision, of which all tensors of the first version are.</param>
internal sealed record BundleTensor(
    string Name, IReadOnlyList<int> Shape, long Offset,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingDefault)] WeightPrecision Type = WeightPrecision.Float32)
{
    /// <summary>How many weights it has; checked against overflow.</summary>
    [JsonIgnore]
    public long ElementCount => ElementsOf(Shape);

    /// <summary>How many bytes of the weights file it takes; checked against overflow.</summary>
    [JsonIgnore]
    public long ByteCount => WeightFormat.Of(Type).ByteCount(ElementCount);

    /// <summary>Elements of a shape; checked against overflow.</summary>
    public static long ElementsOf(IReadOnlyList<int> shape)
    {
        long count = 1;
        // By index: an interface's enumerator would be allocated.
        for (int dimension = 0; dimension < shape.Count; dimension++)
            count = checked(count * shape[dimension]);
        return count;
    }
}
