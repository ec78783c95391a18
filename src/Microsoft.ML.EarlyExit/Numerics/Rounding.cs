using System.Numerics.Tensors;

namespace Microsoft.ML.EarlyExit.Numerics;

/// <summary>Floats as integers of a few bits and one scale.</summary>
internal static class Rounding
{
    /// <summary>The scale with which the largest of some values becomes <paramref name="limit"/>.</summary>
    /// <param name="values">The values.</param>
    /// <param name="limit">The largest integer.</param>
    /// <param name="inverse">What to multiply a value with: 0 where all are zero or one is not finite.</param>
    /// <returns>NaN where one is not finite.</returns>
    public static float Scale(ReadOnlySpan<float> values, int limit, out float inverse)
    {
        float largest = MathF.Abs(TensorPrimitives.MaxMagnitude(values));
        if (!float.IsFinite(largest))
        {
            inverse = 0;
            return float.NaN;
        }

        // A scale that is subnormal would have few bits, and no inverse.
        float scale = largest / limit;
        if (!float.IsNormal(scale))
        {
            inverse = 0;
            return 0;
        }

        inverse = 1 / scale;
        return scale;
    }
}
