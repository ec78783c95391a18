using Microsoft.ML.EarlyExit.Exit;

namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>A token with given hidden states, driven as a decoding session drives it, on plain arrays.</summary>
internal sealed class DrivenToken
{
    private readonly DefinedHead _head;
    private readonly ExitPlan _plan;
    private readonly float[][] _hidden;
    private int _layer;

    public DrivenToken(T5Configuration configuration, DefinedHead head, ExitPolicy policy, float[][] hidden)
    {
        _head = head;
        _plan = ExitPlan.Create(policy, configuration, 10);
        _hidden = hidden;
        Token = new TokenState(_plan, new EvaluationScratch(head.VocabularySize), count => new float[count]);
        Token.Begin(0);
        Token.Reach(0, hidden[0]);
    }

    public TokenState Token { get; }

    /// <summary>Reaches a layer, with those before it that the plan stops at, and computes its confidence.</summary>
    public float Evaluate(int layer)
    {
        while (_layer < layer)
        {
            _layer = _plan.Segments.First(segment => segment.LastLayer > _layer).LastLayer;
            Token.Reach(_layer, _hidden[_layer]);
        }

        Assert.True(_plan.Evaluates(layer));
        if (_plan.Confidence!.UsesLogits)
            ComputeLogits();
        foreach (int amateur in _plan.AmateurLayers(layer))
        {
            if (!Token.LogitsAt(amateur).IsSet)
                Token.LogitsAt(amateur).Set(Multiply(Token.HiddenAfter(amateur)), isFull: true, keep: true);
        }

        return _plan.Confidence.Evaluate(Token);
    }

    public bool[] Alive()
    {
        bool[] alive = new bool[_head.VocabularySize];
        if (Token.Alive.IsFull)
            Array.Fill(alive, true);
        foreach (int id in Token.Alive.IsFull ? [] : Token.Alive.Ids)
            alive[id] = true;
        return alive;
    }

    /// <summary>The token that leaves here, with no options that change logits.</summary>
    public int Choose()
    {
        if (!_plan.Confidence!.UsesLogits)
            ComputeLogits();
        float[] scores = Token.Logits.Values.ToArray();
        if (_plan.Confidence.ChoosesToken && Token.TryGetLogScores(scores))
            Assert.DoesNotContain(float.NaN, scores);
        int best = Enumerable.Range(0, scores.Length).OrderByDescending(at => scores[at]).First();
        return Token.Logits.IsFull ? best : Token.Alive.Ids[best];
    }

    private void ComputeLogits()
    {
        float[] logits = Multiply(Token.Hidden);
        bool isFull = Token.Alive.IsFull;
        if (!isFull)
            logits = [.. Token.Alive.Ids.ToArray().Select(id => logits[id])];
        Token.Logits.Set(logits, isFull, keep: _plan.Confidence!.ComparesLayers);
    }

    private float[] Multiply(ReadOnlySpan<float> hidden) => [.. _head.Logits(hidden).Select(logit => (float)logit)];
}
