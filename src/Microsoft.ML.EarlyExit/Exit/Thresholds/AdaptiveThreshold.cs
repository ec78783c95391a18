namespace Microsoft.ML.EarlyExit.Exit.Thresholds;

/// <summary>The threshold of the shallow-deep test as it adapts while text is generated: FREE's adaptive threshold estimator (Bae et al. 2023, arXiv
/// 2310.05424).</summary>
/// <remarks>
/// <para>
/// Where the deep blocks run, the full model's tokens are known beside the shallow model's, those of pending tokens included. Each gives a pair: the shallow
/// confidence, and whether the tokens agree. <see cref="BetaMixture"/> fits one Beta distribution to the agreeing and one to the others; the threshold is the
/// smallest confidence in [0.3, 0.9] from which on the agreeing one's posterior exceeds ζ = 0.4. These numbers, and the fit by the labels alone, are those of
/// FREE's published code (<c>util/bmm.py</c>, and <c>predict_proba(0.3, 0.9)</c> in <c>models/deploying_t5.py</c>). The code starts from the configured
/// threshold, keeps every pair, and refits before each sequence from the second on, for at most 300 (T5) or 100 (LongT5) refits.
/// </para>
/// <para>
/// Chosen here: a refit at the end of each batch, without an end, because a further refit costs little and changes less and less. Until there are enough
/// pairs of both labels, the threshold stays, except that enough disagreeing pairs raise it to 0.9 if it is lower. The same holds where the agreeing
/// confidences are not the larger on average, by 1/4096 at least: such a confidence tells nothing. (The published code sets 0.3 when every pair or no pair
/// agrees, and swaps the components when the disagreeing confidences are the larger.) So <see cref="Current"/> is the initial threshold or in [0.3, 0.9].
/// </para>
/// <para>
/// Pairs are counted in histograms, so that memory is bounded (64 KiB) and so is the time of an update; the order of the pairs between two updates has no
/// influence. Not for use by several threads at once.
/// </para>
/// </remarks>
internal sealed class AdaptiveThreshold
{
    /// <summary>The posterior a confidence has to exceed: ζ (<c>zeta</c> of the published code).</summary>
    public const double Level = 0.4;

    /// <summary>The lowest threshold an update sets.</summary>
    public const double Lowest = 0.3;

    /// <summary>The highest threshold an update sets.</summary>
    public const double Highest = 0.9;

    private const double SmallestMeanDifference = 1.0 / (BetaMixture.BinCount - 1);

    private readonly long[] _disagreeing = new long[BetaMixture.BinCount];
    private readonly long[] _agreeing = new long[BetaMixture.BinCount];
    private long _disagreeingCount;
    private bool _changed;

    /// <param name="initial">The policy's threshold, in [0, 1].</param>
    public AdaptiveThreshold(float initial)
    {
        Current = initial;
    }

    /// <summary>The threshold now, in [0, 1]. A batch uses the one at its start.</summary>
    public float Current { get; private set; }

    /// <summary>Counts a pair. It changes <see cref="Current"/> at the next <see cref="Update"/>.</summary>
    /// <param name="confidence">The shallow model's confidence in its token, in [0, 1].</param>
    /// <param name="agreed">Whether the full model's token is the same.</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="confidence"/> is NaN or outside [0, 1].</exception>
    public void Add(float confidence, bool agreed)
    {
        if (!(confidence is >= 0 and <= 1))
            throw new ArgumentOutOfRangeException(nameof(confidence), confidence, "A confidence is a number from 0 to 1.");
        (agreed ? _agreeing : _disagreeing)[BetaMixture.BinOf(confidence)]++;
        _disagreeingCount += agreed ? 0 : 1;
        _changed = true;
    }

    /// <summary>Refits to all pairs so far and sets <see cref="Current"/>. Without a new pair nothing changes.</summary>
    public void Update()
    {
        if (!_changed)
            return;
        _changed = false;

        BetaMixture? mixture = BetaMixture.Fit(_disagreeing, _agreeing, maxIterations: 1);
        if (mixture is not null && mixture.Agreeing.Mean - mixture.Disagreeing.Mean > SmallestMeanDifference)
            Current = (float)mixture.Threshold(Level, Lowest, Highest);
        else if (mixture is not null || _disagreeingCount >= BetaMixture.MinimumPairs)
            Current = Math.Max(Current, (float)Highest);
    }
}
