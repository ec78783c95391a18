using Microsoft.ML.EarlyExit.Model.Graphs;

namespace Microsoft.ML.EarlyExit.Model.Weights;

/// <summary>In which type and blocks a bundle of a precision stores each of its tensors.</summary>
internal static class StoredTypes
{
    private const int Int8Block = 128;
    private const int Int4Block = 64;

    /// <summary>The type of embedding and LM head.</summary>
    public static WeightPrecision OfEmbedding(WeightPrecision precision) => Scaled(precision) ? WeightPrecision.Float32 : precision;

    /// <summary>The type that a conversion gives a tensor.</summary>
    /// <param name="precision">The bundle's precision.</param>
    /// <param name="name">The tensor's name.</param>
    /// <param name="width">How many numbers of a matrix make up one of its outputs; any for a precision without scales.</param>
    public static WeightPrecision Of(WeightPrecision precision, string name, int width)
    {
        if (!T5TensorNames.IsMatrix(name))
            return WeightPrecision.Float32;
        if (!T5TensorNames.IsLayerMatrix(name))
            return OfEmbedding(precision);
        return precision == WeightPrecision.Int4 && !(TakesFourBits(name) && width % Int4Block == 0) ? WeightPrecision.Int8 : precision;
    }

    /// <summary>Whether a bundle of the precision may have the tensor in that type.</summary>
    public static bool Allows(WeightPrecision precision, string name, WeightPrecision type) =>
        !Scaled(precision) ? type == Of(precision, name, 0)
        : !T5TensorNames.IsLayerMatrix(name) ? type == WeightPrecision.Float32
        : type switch
        {
            // Where it is kept.
            WeightPrecision.Float32 or WeightPrecision.Int8 => true,
            WeightPrecision.Int4 => precision == WeightPrecision.Int4 && TakesFourBits(name),
            _ => false,
        };

    /// <summary>How many numbers of a row a conversion gives one scale.</summary>
    /// <param name="name">The matrix's name.</param>
    /// <param name="type">Its type.</param>
    /// <param name="width">The numbers of a row.</param>
    public static int Block(string name, WeightPrecision type, int width)
    {
        int block = type == WeightPrecision.Int4 ? Int4Block : Int8Block;
        return IsForManyPositions(name) || width % block != 0 ? width : block;
    }

    /// <summary>Whether many positions pass a layer's matrix at a time: they are bound by arithmetic, which one scale a row keeps whole.</summary>
    public static bool IsForManyPositions(string name) => !T5TensorNames.IsOfDecoder(name) || name.EndsWith(".cross.kv", StringComparison.Ordinal);

    private static bool Scaled(WeightPrecision precision) => WeightFormat.Of(precision).HasScales;

    /// <summary>The decoder's feed-forward matrices: most of what a token reads, and the least sensitive to rounding.</summary>
    private static bool TakesFourBits(string name) => T5TensorNames.IsOfDecoder(name) && name.Contains(".ff.", StringComparison.Ordinal);
}
