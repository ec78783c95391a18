namespace Microsoft.ML.EarlyExit;

/// <summary>The threshold at a layer and a position.</summary>
/// <remarks>
/// Constant, or CALM's decaying one (equation 5 of CALM): <c>clip(0.9 τ_l + 0.1 exp(-T t / N), 0, 1)</c>, t = 0 for the first token, N the maximum number of new
/// tokens. In the published code's way (<see cref="ExitPolicy.ReferenceCompatible"/>) <c>τ_l (0.9 + 0.1 exp(-T t / N))</c>, t = 1 for the first token.
/// </remarks>
internal sealed class ThresholdSchedule
{
    private readonly float[] _byLayer;
    private readonly double _temperature;
    private readonly int _maxNewTokens;
    private readonly bool _referenceCompatible;

    public ThresholdSchedule(ExitPolicy policy, int layerCount, int maxNewTokens)
    {
        _byLayer = policy.Thresholds is { } thresholds ? [.. thresholds] : Enumerable.Repeat(policy.Threshold, layerCount).ToArray();
        _temperature = policy.ThresholdTemperature;
        _maxNewTokens = maxNewTokens;
        _referenceCompatible = policy.ReferenceCompatible;
    }

    /// <summary>The threshold after <paramref name="layer"/> blocks, from 1, at <paramref name="position"/>, from 0, in single precision as it is compared.</summary>
    public float At(int layer, int position)
    {
        float threshold = _byLayer[layer - 1];
        if (_temperature == 0)
            return threshold;
        if (_referenceCompatible)
            return (float)(threshold * (0.9 + (0.1 * Math.Exp(-_temperature * (position + 1) / _maxNewTokens))));
        return (float)Math.Clamp((0.9 * threshold) + (0.1 * Math.Exp(-_temperature * position / _maxNewTokens)), 0, 1);
    }
}
