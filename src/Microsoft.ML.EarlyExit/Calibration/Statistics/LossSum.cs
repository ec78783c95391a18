namespace Microsoft.ML.EarlyExit.Calibration.Statistics;

/// <summary>The sum of losses in [0, 1]. It is exact but for what each loss has below 2^-80, so it does not depend on the order.</summary>
internal struct LossSum
{
    // 2^48 losses have room above the binary point.
    private const int FractionBits = 80;

    // 2^-52 in units of 2^-80: two roundings of a number below 1.
    private const int ToleranceBits = FractionBits - 52;

    private UInt128 _total;

    /// <summary>How many losses were added.</summary>
    public long Count { get; private set; }

    /// <summary>Their sum, rounded once.</summary>
    public readonly double Total => Math.ScaleB((double)_total, -FractionBits);

    /// <summary>Their mean; NaN without losses.</summary>
    public readonly double Mean => Total / Count;

    /// <summary>The smallest whole number that the sum does not exceed, where 2^-52 for each loss does not count.</summary>
    /// <remarks>
    /// Losses are roundings: ten times 0.1 are 1, but the doubles' exact sum is above it, and the next whole number would be 2. Leaving out 2^-52 of each loss
    /// makes the bound one on losses that much smaller, so what is said of a mean above δ then holds, strictly, for a mean above δ + 2^-52.
    /// </remarks>
    public readonly long Ceiling
    {
        get
        {
            UInt128 tolerance = (UInt128)Count << ToleranceBits;
            return _total <= tolerance ? 0 : (long)((_total - tolerance + ((UInt128.One << FractionBits) - 1)) >> FractionBits);
        }
    }

    /// <summary>The sum of losses that are checked first.</summary>
    /// <exception cref="ArgumentException">There is no loss, or one is NaN or outside [0, 1].</exception>
    public static LossSum Of(ReadOnlySpan<double> losses)
    {
        CalibrationArguments.CheckLosses(losses);
        var sum = default(LossSum);
        foreach (double loss in losses)
            sum.Add(loss);
        return sum;
    }

    /// <summary>The sum of losses that are all 0.</summary>
    public static LossSum Zeros(long count) => new() { Count = count };

    /// <summary>Adds a loss.</summary>
    /// <param name="loss">In [0, 1].</param>
    public void Add(double loss)
    {
        _total += (UInt128)Math.ScaleB(loss, FractionBits);
        Count++;
    }
}
