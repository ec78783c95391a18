namespace Microsoft.ML.EarlyExit.Conversion.Graphs;

/// <summary>T5's buckets of relative positions: exact for near ones, logarithmic up to the maximum distance, one for all beyond.</summary>
internal static class RelativePositionBuckets
{
    /// <summary>The bucket of a key at <paramref name="relativePosition"/> = key - query, computed in single precision as Hugging Face does.</summary>
    public static int Bucket(int relativePosition, bool bidirectional, int bucketCount, int maxDistance)
    {
        int bucket = 0;
        int distance;
        if (bidirectional)
        {
            bucketCount /= 2;
            if (relativePosition > 0)
                bucket = bucketCount;
            distance = Math.Abs(relativePosition);
        }
        else
        {
            distance = -Math.Min(relativePosition, 0);
        }

        int exact = bucketCount / 2;
        if (distance < exact)
            return bucket + distance;
        float scale = MathF.Log((float)distance / exact) / (float)Math.Log((double)maxDistance / exact);
        return bucket + Math.Min(exact + (int)(scale * (bucketCount - exact)), bucketCount - 1);
    }

    /// <summary>The smallest distance from which on every distance, in either direction, is in the last bucket.</summary>
    public static int Reach(bool bidirectional, int bucketCount, int maxDistance)
    {
        // Rounding may leave distances a little above the maximum in the bucket before the last, never one twice as far.
        int last = Bucket(-2 * maxDistance, bidirectional, bucketCount, maxDistance);
        int reach = 2 * maxDistance;
        while (reach > 1 && Bucket(-(reach - 1), bidirectional, bucketCount, maxDistance) == last)
            reach--;
        return reach;
    }
}
