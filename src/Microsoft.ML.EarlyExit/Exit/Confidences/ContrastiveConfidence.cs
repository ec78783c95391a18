using System.Numerics.Tensors;
using System.Text.Json;
using Microsoft.ML.EarlyExit.Evaluation.Text;

namespace Microsoft.ML.EarlyExit.Exit.Confidences;

/// <summary>What the contrastive measures share: the plausible set, the scores inside and outside it, and their margin. The formulas are in
/// <see cref="ContrastiveOptions"/>.</summary>
internal abstract class ContrastiveConfidence(ContrastiveOptions options) : Confidence
{
    /// <summary>The field of both measures.</summary>
    private protected static ConfidenceParameters Parameters { get; } = new("contrastive", ContrastiveOptions.Read, new ContrastiveOptions());

    internal ContrastiveOptions Options { get; } = options;

    internal override bool UsesLogits => true;

    internal override bool ComparesLayers => true;

    internal sealed override bool ChoosesToken => Options.Token == ContrastiveToken.Contrastive;

    public override bool Equals(object? obj) => obj is ContrastiveConfidence other && other.GetType() == GetType() && other.Options == Options;

    public override int GetHashCode() => HashCode.Combine(Name, Options);

    public override string ToString() => Options == new ContrastiveOptions() ? Name : $"{Name} ({MemberText.List(Options)})";

    internal override void Validate(ExitPolicy policy, T5Configuration configuration)
    {
        if (Options.PlausibilityFromPruning && !policy.Pruning.Prunes)
            throw new ArgumentException("PlausibilityFromPruning needs Pruning: without it every token would be plausible.");
    }

    internal sealed override Confidence WithoutPruning() => Options.PlausibilityFromPruning ? With(Options with { PlausibilityFromPruning = false }) : this;

    internal sealed override float Evaluate(TokenState token)
    {
        LayerLogits expert = token.Logits;
        if (expert.Values.Length < 2 || !float.IsFinite(expert.Max))
            return float.NaN;
        ReadOnlySpan<int> plausible = FindPlausibleSet(token, expert);
        if (!TryFindAmateur(token, plausible, out int amateur))
            return Confidences.SoftmaxMargin.Of(expert);

        token.AmateurLayer = amateur;
        Span<double> scores = token.PlausibleScores[..plausible.Length];
        Score(expert, AmateurAt(token, amateur), plausible, scores);
        token.RecordScores(plausible.Length, ScoresZeroOutside);
        return Bound(Margin(expert, plausible, scores, ScoresZeroOutside));
    }

    private protected sealed override void WriteParameters(Utf8JsonWriter writer) => Options.Write(writer, Parameters.Field);

    /// <summary>Whether tokens outside the plausible set score 0 rather than their probability.</summary>
    private protected virtual bool ScoresZeroOutside => false;

    private protected abstract PlausibleSetWeight DefaultWeight { get; }

    /// <summary>The same measure with other options.</summary>
    private protected abstract Confidence With(ContrastiveOptions options);

    /// <summary>The amateur of an expert; false where there is none, and the softmax margin takes the measure's place.</summary>
    private protected abstract bool TryFindAmateur(TokenState token, ReadOnlySpan<int> plausible, out int amateur);

    /// <summary>ln q at an amateur's layer; what was cut there counts as the smallest normal number, so that q is never 0.</summary>
    private protected virtual AmateurLogProbabilities AmateurAt(TokenState token, int layer) =>
        token.LogProbabilitiesAt(layer, AmateurLogProbabilities.Smallest);

    /// <summary>The confidence that a margin is.</summary>
    private protected virtual float Bound(double margin) => (float)Math.Clamp(margin, 0, 1);

    private ReadOnlySpan<int> FindPlausibleSet(TokenState token, LayerLogits expert)
    {
        Span<int> plausible = token.PlausibleSet;
        ReadOnlySpan<float> logits = expert.Values;
        if (Options.PlausibilityFromPruning && !expert.IsFull)
        {
            for (int index = 0; index < logits.Length; index++)
                plausible[index] = index;
            return plausible[..logits.Length];
        }

        double alpha = Options.Alpha;
        if (Options.DecayRate is { } decayRate)
            alpha = alpha / (1 + (decayRate * (double)token.Layer)) * (1 - Confidences.SoftmaxMargin.Of(expert));

        // p(x) ≥ α' max p, in logits; α' = 0 lets all in.
        return plausible[..LogitScan.FindAtLeast(logits, AtLeast(expert.Max + Math.Log(alpha)), plausible)];
    }

    /// <summary>The smallest single-precision number that is not below another.</summary>
    private static float AtLeast(double border)
    {
        float rounded = (float)border;
        return rounded < border ? MathF.BitIncrement(rounded) : rounded;
    }

    private void Score(LayerLogits expert, AmateurLogProbabilities amateur, ReadOnlySpan<int> plausible, Span<double> scores)
    {
        double mass = 0;
        double logSumExp = expert.LogSumExp;
        ReadOnlySpan<float> logits = expert.Values;
        for (int index = 0; index < plausible.Length; index++)
        {
            double logP = logits[plausible[index]] - logSumExp;
            mass += Math.Exp(logP);
            scores[index] = logP - amateur[plausible[index]];
        }

        double weight = (Options.PlausibleSetWeight ?? DefaultWeight) == PlausibleSetWeight.One ? 1 : mass;
        double largest = TensorPrimitives.Max<double>(scores);
        double sum = 0;
        for (int index = 0; index < scores.Length; index++)
            sum += scores[index] = Math.Exp(scores[index] - largest);
        for (int index = 0; index < scores.Length; index++)
            scores[index] *= weight / sum;
    }

    private static double Margin(LayerLogits expert, ReadOnlySpan<int> plausible, ReadOnlySpan<double> scores, bool zeroOutside)
    {
        double first = double.NegativeInfinity;
        double second = double.NegativeInfinity;
        foreach (double score in scores)
        {
            if (double.IsNaN(score))
                return double.NaN;
            Take(score);
        }

        if (plausible.Length < expert.Values.Length)
        {
            if (zeroOutside)
            {
                Take(0);
                if (plausible.Length + 1 < expert.Values.Length)
                    Take(0);
            }
            else
            {
                (float largest, float next) = LogitScan.TwoLargest(expert.Values, plausible);
                Take(Math.Exp(largest - expert.LogSumExp));
                Take(Math.Exp(next - expert.LogSumExp));
            }
        }

        return first - second;

        void Take(double score)
        {
            if (score > first)
                (first, second) = (score, first);
            else if (score > second)
                second = score;
        }
    }
}
