namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>A token with given hidden states, driven as a decoding session drives it.</summary>
internal sealed class DrivenToken : IDisposable
{
    private readonly LanguageModelHead _head;
    private readonly ExitPlan _plan;
    private readonly OnnxThreadPool.Lane _lane;
    private readonly NativeBuffer _hidden;
    private readonly NativeBuffer _normed;
    private readonly NativeBuffer _logits;
    private int _layer;

    public DrivenToken(EarlyExitModel model, ExitPolicy policy, float[][] hidden)
    {
        _head = model.Head;
        _plan = ExitPlan.Create(policy, model.Configuration, 10);
        _lane = model.Sessions.ThreadPool.CreateLane();
        _hidden = new NativeBuffer((long)hidden.Length * _head.Width * sizeof(float));
        _normed = new NativeBuffer(_head.Width * sizeof(float));
        _logits = new NativeBuffer(_head.VocabularySize * sizeof(float));
        for (int layer = 0; layer < hidden.Length; layer++)
            hidden[layer].CopyTo(Hidden(layer));
        Token = new TokenState(_plan, _head, new EvaluationScratch(_head.VocabularySize));
        Token.Begin();
        Token.Reach(0, Hidden(0));
    }

    public TokenState Token { get; }

    /// <summary>Reaches a layer, with those before it that the plan stops at, and computes its confidence.</summary>
    public float Evaluate(int layer)
    {
        while (_layer < layer)
        {
            _layer = _plan.Segments.First(segment => segment.LastLayer > _layer).LastLayer;
            Token.Reach(_layer, Hidden(_layer));
        }

        Assert.True(_plan.Asks(layer));
        if (_plan.Confidence!.UsesLogits)
            ComputeLogits();
        foreach (int amateur in _plan.AmateurLayers(layer))
        {
            if (!Token.LogitsAt(amateur).IsSet)
                Token.LogitsAt(amateur).Set(Multiply(Token.HiddenAfter(amateur)), isWhole: true, keep: true);
        }

        return _plan.Confidence.Evaluate(Token);
    }

    public bool[] Alive()
    {
        bool[] alive = new bool[_head.VocabularySize];
        if (Token.Alive.IsWhole)
            Array.Fill(alive, true);
        foreach (int id in Token.Alive.IsWhole ? [] : Token.Alive.Ids)
            alive[id] = true;
        return alive;
    }

    /// <summary>The token that leaves here, with no options that change logits.</summary>
    public int Choose()
    {
        if (!_plan.Confidence!.UsesLogits)
            ComputeLogits();
        float[] scores = Token.Logits.Values.ToArray();
        if (_plan.Confidence is ContrastiveConfidence { Options.Token: ContrastiveToken.Contrastive } && Token.TryGetLogScores(scores))
            Assert.DoesNotContain(float.NaN, scores);
        int best = Enumerable.Range(0, scores.Length).OrderByDescending(at => scores[at]).First();
        return Token.Logits.IsWhole ? best : Token.Alive.Ids[best];
    }

    public void Dispose()
    {
        Token.Dispose();
        _logits.Dispose();
        _normed.Dispose();
        _hidden.Dispose();
        _lane.Dispose();
    }

    private void ComputeLogits()
    {
        if (Token.Alive.IsWhole)
        {
            Token.Logits.Set(Multiply(Token.Hidden), isWhole: true, keep: _plan.Confidence!.ComparesLayers);
            return;
        }

        Span<float> normed = _normed.Span<float>(0, _head.Width);
        Span<float> logits = _logits.Span<float>(0, Token.Alive.Count);
        _head.Normalize(Token.Hidden, normed);
        unsafe
        {
            _head.Multiply(_lane, Token.Alive.Rows(), Token.Alive.Count, normed, 1, logits);
        }

        Token.Logits.Set(logits, isWhole: false, keep: _plan.Confidence!.ComparesLayers);
    }

    private Span<float> Multiply(ReadOnlySpan<float> hidden)
    {
        Span<float> normed = _normed.Span<float>(0, _head.Width);
        Span<float> logits = _logits.Span<float>(0, _head.VocabularySize);
        _head.Normalize(hidden, normed);
        _head.Multiply(_lane, normed, 1, logits);
        return logits;
    }

    private Span<float> Hidden(int layer) => _hidden.Span<float>((long)layer * _head.Width, _head.Width);
}
