namespace Microsoft.ML.EarlyExit.Exit.Thresholds;

/// <summary>The threshold at a layer and a position.</summary>
/// <remarks>
/// Constant, or CALM's decaying one (equation 5 of CALM): <c>clip(0.9 τ_l + 0.1 exp(-T t / N), 0, 1)</c>, t = 0 for the first token, N the maximum number of
/// new tokens.
/// </remarks>
internal class ThresholdSchedule
{
    private readonly float[] _byLayer;
    private readonly double _temperature;
    private readonly int _maxNewTokens;

    public ThresholdSchedule(ExitPolicy policy, int layerCount, int maxNewTokens)
    {
        _byLayer = policy.Thresholds is { } thresholds ? [.. thresholds] : Enumerable.Repeat(policy.Threshold, layerCount).ToArray();
        _temperature = policy.ThresholdTemperature;
        _maxNewTokens = maxNewTokens;
    }

    /// <summary>The threshold after <paramref name="layer"/> blocks, from 1, at <paramref name="position"/>, from 0, in single precision as it is
    /// compared.</summary>
    public float At(int layer, int position)
    {
        float threshold = _byLayer[layer - 1];
        return _temperature == 0 ? threshold : (float)Decay(threshold, position);
    }

    private protected virtual double Decay(float threshold, int position) => Math.Clamp((0.9 * threshold) + (0.1 * DecayAfter(position)), 0, 1);

    /// <summary><c>exp(-T t / N)</c>.</summary>
    private protected double DecayAfter(int position) => Math.Exp(-_temperature * position / _maxNewTokens);
}
