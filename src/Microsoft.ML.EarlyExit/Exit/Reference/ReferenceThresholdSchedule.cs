using Microsoft.ML.EarlyExit.Exit.Thresholds;

namespace Microsoft.ML.EarlyExit.Exit.Reference;

/// <summary>The published code's decay: <c>τ_l (0.9 + 0.1 exp(-T t / N))</c>, t = 1 for the first token.</summary>
internal sealed class ReferenceThresholdSchedule(ExitPolicy policy, int layerCount, int maxNewTokens) : ThresholdSchedule(policy, layerCount, maxNewTokens)
{
    private protected override double Decay(float threshold, int position) => threshold * (0.9 + (0.1 * DecayAfter(position + 1)));
}
