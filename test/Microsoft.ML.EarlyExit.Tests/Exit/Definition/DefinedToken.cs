namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>
/// What the definitions of pruning and confidences say of one token, layer by layer, in double precision and plain loops over ids; nothing of the library's. A
/// pruned token has probability 0. Says where two correct implementations may differ.
/// </summary>
internal sealed class DefinedToken(DefinedPolicy policy, int layerCount, DefinedHead head, Func<int, float[]> hiddenAfter)
{
    private const double NearTie = 1e-4;
    private const double NearAmateurs = 0.01;

    // Of such a divergence single precision keeps no digit: a head set of one token that all layers are sure of.
    private const double NoDivergence = 1e-9;
    private const double SmallestNormal = 1.17549435082228751e-38;

    // Both sides have the same hidden states, so that a product can shift by far less than the tenth that is conceded to other arithmetic.
    private const double NearInteger = 0.01;

    private readonly double[]?[] _logits = new double[layerCount + 1][];
    private readonly double[]?[] _probabilities = new double[layerCount + 1][];
    private readonly bool[]?[] _alive = new bool[layerCount + 1][];
    private double[]? _scores;

    // The layers that were asked after first and last.
    private int _firstAsked;
    private int _asked;

    /// <summary>Whether the last step was a decision too close to call.</summary>
    public bool IsNearTie { get; private set; }

    public double Confidence { get; private set; }

    public int? Amateur { get; private set; }

    public int AliveCount(int layer) => Alive(layer).Count(alive => alive);

    public bool[] Alive(int layer) => _alive[layer] ??= Everything();

    /// <summary>Computes the confidence after a layer that is asked after, one after the other; false where the alive set was too close to call.</summary>
    public bool Evaluate(int layer)
    {
        IsNearTie = false;
        if (_asked > 0)
            Prune(layer);
        if (IsNearTie)
            return false;
        _firstAsked = _asked == 0 ? layer : _firstAsked;
        _asked = layer;
        _scores = null;
        Amateur = null;
        Confidence = policy.Measure switch
        {
            DefinedMeasure.Margin => Margin(Probabilities(layer), Alive(layer)),
            DefinedMeasure.Saturation => Saturation(hiddenAfter(layer), hiddenAfter(layer - 1)),
            _ => Contrastive(layer),
        };
        return true;
    }

    /// <summary>Whether the token may leave after the layer that was evaluated, as far as its confidence goes.</summary>
    public bool IsSure(int layer)
    {
        float threshold = policy.Thresholds?[layer - 1] ?? policy.Threshold;

        // No confidence is above 1.
        IsNearTie = threshold < 1 && Math.Abs(Confidence - threshold) < NearTie;
        return (float)Confidence > threshold;
    }

    /// <summary>The token chosen at an exit after a layer; null where the options forbid all that are alive.</summary>
    public int? Choose(int layer, DefinedOptions options, IReadOnlyList<int> sequence)
    {
        double[] logits = Logits(layer);
        double[] scores = policy.ChoosesContrastive && _scores is not null
            ? [.. _scores.Select((score, id) => Alive(layer)[id] ? Math.Log(score) : double.NegativeInfinity)]
            : [.. logits.Select((logit, id) => Alive(layer)[id] ? logit : double.NegativeInfinity)];
        return Best(options.Apply(scores, sequence));
    }

    /// <summary>The token chosen after the last layer.</summary>
    public int ChooseLast(DefinedOptions options, IReadOnlyList<int> sequence)
    {
        IsNearTie = false;
        double[] all = options.Apply([.. Logits(layerCount)], sequence);
        if (policy.WholeAtLastLayer || policy.Cut == DefinedCut.None)
            return Best(all) ?? 0;
        Prune(layerCount);
        if (IsNearTie)
            return -1;
        return Best([.. all.Select((score, id) => Alive(layerCount)[id] ? score : double.NegativeInfinity)]) ?? Best(all) ?? 0;
    }

    private int? Best(double[] scores)
    {
        int best = -1;
        for (int id = 0; id < scores.Length; id++)
        {
            if (!double.IsNegativeInfinity(scores[id]) && (best < 0 || scores[id] > scores[best]))
                best = id;
        }

        if (best < 0)
            return null;
        IsNearTie |= scores.Where((_, id) => id != best).Any(score => scores[best] - score < NearTie);
        return best;
    }

    private double[] Logits(int layer) => _logits[layer] ??= head.Logits(hiddenAfter(layer));

    private double[] Probabilities(int layer)
    {
        if (_probabilities[layer] is { } known)
            return known;
        double[] logits = Logits(layer);
        bool[] alive = Alive(layer);
        double largest = Enumerable.Range(0, logits.Length).Where(id => alive[id]).Max(id => logits[id]);
        double[] exponentials = [.. logits.Select((logit, id) => alive[id] ? Math.Exp(logit - largest) : 0)];
        double sum = exponentials.Sum();
        return _probabilities[layer] = [.. exponentials.Select(exponential => exponential / sum)];
    }

    private void Prune(int layer)
    {
        (int count, double distance) = policy.CountAt(layer, layerCount, Confidence);
        bool[] before = Alive(_asked);
        _alive[layer] = before;
        int alive = before.Count(isAlive => isAlive);
        if (policy.Cut == DefinedCut.Adaptive && distance < NearInteger && policy.Scale > 0)
            IsNearTie = true;
        if (count >= alive)
            return;
        double[] ranking = Logits(_firstAsked);
        int[] ranked = [.. Enumerable.Range(0, ranking.Length).Where(id => before[id]).OrderByDescending(id => ranking[id]).ThenBy(id => id)];
        IsNearTie |= ranking[ranked[count - 1]] - ranking[ranked[count]] < NearTie;
        bool[] after = new bool[before.Length];
        foreach (int id in ranked.Take(count))
            after[id] = true;
        _alive[layer] = after;
    }

    private static double Saturation(float[] left, float[] right)
    {
        double product = left.Zip(right, (a, b) => (double)a * b).Sum();
        double lengths = Math.Sqrt(left.Sum(value => (double)value * value)) * Math.Sqrt(right.Sum(value => (double)value * value));
        return Math.Clamp(product / lengths, 0, 1);
    }

    private double Contrastive(int layer)
    {
        double[] p = Probabilities(layer);
        bool[] alive = Alive(layer);
        bool[] inHead = Head(layer, p, alive);
        int amateur = policy.Measure == DefinedMeasure.Weighted ? layer / 2 : FurthestAmateur(layer, p, inHead);
        if (amateur == 0)
            return Margin(p, alive);
        Amateur = amateur;
        double[] q = Probabilities(amateur);

        double[] differences = [.. p.Select((value, id) => inHead[id] ? Math.Log(value) - Math.Log(Math.Max(q[id], SmallestNormal)) : double.NegativeInfinity)];
        double largest = differences.Max();
        double sum = differences.Sum(difference => Math.Exp(difference - largest));
        double mass = p.Where((_, id) => inHead[id]).Sum();
        double weight = policy.WeighsHeadMass ?? policy.Measure == DefinedMeasure.Weighted ? mass : 1;
        _scores = [.. p.Select((value, id) => inHead[id] ? weight * Math.Exp(differences[id] - largest) / sum : value)];
        return Math.Clamp(Margin(_scores, alive), 0, 1);
    }

    private bool[] Head(int layer, double[] p, bool[] alive)
    {
        if (policy.PrunedIsPlausible && alive.Contains(false))
            return alive;
        double alpha = policy.Alpha;
        double tolerance = NearTie;
        if (policy.HyperbolicRate is { } rate)
        {
            double unsure = 1 - Margin(p, alive);
            alpha = alpha / (1 + (rate * layer)) * unsure;

            // A margin next to 1 is known to single precision only.
            tolerance = Math.Max(tolerance, 1e-6 / Math.Max(unsure, 1e-300));
        }

        double border = alpha * p.Max();
        if (alpha > 0)
            IsNearTie |= p.Where((value, id) => alive[id] && value < p.Max()).Any(value => Math.Abs(Math.Log(value) - Math.Log(border)) < tolerance);
        return [.. p.Select((value, id) => alive[id] && value >= border)];
    }

    private int FurthestAmateur(int layer, double[] p, bool[] inHead)
    {
        double best = double.NegativeInfinity;
        int furthest = 0;
        var scores = new List<double>();
        for (int candidate = policy.AllAmateurs ? 2 : policy.MinimumLayer; candidate < layer; candidate++)
        {
            double[] q = Probabilities(candidate);
            double divergence = 0;
            for (int id = 0; id < p.Length; id++)
            {
                if (!inHead[id])
                    continue;
                double r = (p[id] + q[id]) / 2;
                divergence += (Term(p[id], r) + Term(q[id], r)) / 2;
            }

            double score = divergence / (layer - candidate);
            scores.Add(score);
            if (score > best)
                (best, furthest) = (score, candidate);
        }

        IsNearTie |= scores.Count(score => score >= best * (1 - NearAmateurs)) > 1 || (scores.Count > 1 && best < NoDivergence);
        return furthest;

        static double Term(double value, double middle) => value == 0 ? 0 : value * (Math.Log(value) - Math.Log(middle));
    }

    private static double Margin(double[] values, bool[] alive)
    {
        double[] ranked = [.. values.Where((_, id) => alive[id]).OrderDescending().Take(2)];
        return ranked[0] - ranked[1];
    }

    private bool[] Everything() => [.. Enumerable.Repeat(true, head.VocabularySize)];
}
