using System.Numerics.Tensors;

namespace Microsoft.ML.EarlyExit;

/// <summary>
/// One row's token on its way through the decoder: the layer it has reached, and what earlier layers left that a confidence measure compares with. Serves one token
/// after another; allocates nothing once every layer has been reached.
/// </summary>
internal sealed unsafe class TokenState : IDisposable
{
    private readonly EvaluationScratch _scratch;
    private readonly LayerLogits[] _logits;
    private readonly NativeBuffer? _hiddenStates;
    private readonly int _width;
    private readonly int _first;
    private float* _hidden;
    private int _scored;

    public TokenState(ExitPlan plan, LanguageModelHead head, EvaluationScratch scratch)
    {
        Plan = plan;
        Alive = new AliveVocabulary(head, scratch, plan.MostAlive);
        _scratch = scratch;
        _width = head.Width;
        _logits = [.. Enumerable.Range(0, plan.LastLayer + 1).Select(layer => new LayerLogits(layer > plan.FirstAskedLayer && !plan.IsWholeAt(layer) ? plan.MostAlive : 0))];
        if (Enumerable.Range(0, plan.LastLayer + 1).Any(plan.KeepsHiddenState))
            _hiddenStates = new NativeBuffer((long)(plan.LastLayer + 1) * _width * sizeof(float));
        _first = plan.FirstAskedLayer;
    }

    public ExitPlan Plan { get; }

    /// <summary>Decoder blocks that have run.</summary>
    public int Layer { get; private set; }

    /// <summary>The vocabulary at <see cref="Layer"/>.</summary>
    public AliveVocabulary Alive { get; }

    /// <summary>The hidden state after <see cref="Layer"/> blocks.</summary>
    public ReadOnlySpan<float> Hidden => new(_hidden, _width);

    /// <summary>The logits at <see cref="Layer"/>.</summary>
    public LayerLogits Logits => _logits[Layer];

    /// <summary>The layer that the last evaluation compared with; null where it compared with none.</summary>
    public int? AmateurLayer { get; set; }

    /// <summary>Scratch for the places, among the alive tokens, of those in the head set.</summary>
    public Span<int> Head => _scratch.Head;

    /// <summary>Scratch for the scores of the head set's tokens.</summary>
    public Span<double> HeadScores => _scratch.HeadScores;

    /// <summary>Begins another token.</summary>
    public void Begin()
    {
        Layer = 0;
        Alive.Begin();
        foreach (LayerLogits logits in _logits)
            logits.Clear();
    }

    /// <summary>Says that the token has reached a layer.</summary>
    /// <param name="layer">Blocks that have run.</param>
    /// <param name="hidden">The hidden state; it stays where it is until the next layer is reached.</param>
    public void Reach(int layer, ReadOnlySpan<float> hidden)
    {
        Layer = layer;
        AmateurLayer = null;
        _scored = -1;
        Move(hidden);
        if (Plan.KeepsHiddenState(layer))
            hidden.CopyTo(Kept(layer));
    }

    /// <summary>Says that the hidden state has been copied to another place.</summary>
    public void Move(ReadOnlySpan<float> hidden)
    {
        fixed (float* first = hidden)
            _hidden = first;
    }

    /// <summary>The hidden state of an earlier layer that the plan keeps.</summary>
    public ReadOnlySpan<float> HiddenAfter(int layer) => Kept(layer);

    /// <summary>The logits of this layer or an earlier one.</summary>
    public LayerLogits LogitsAt(int layer) => _logits[layer];

    /// <summary>The logit, at some layer, of the token at a place of <see cref="Logits"/>; false where it was not alive there.</summary>
    public bool TryGetLogit(LayerLogits layer, int index, out float logit)
    {
        int at = layer.IsWhole && !Logits.IsWhole ? Alive.Ids[index] : index;
        if (at >= layer.Values.Length)
        {
            logit = float.NegativeInfinity;
            return false;
        }

        logit = layer.Values[at];
        return true;
    }

    /// <summary>Cuts the vocabulary for the next layer, after a confidence at this one.</summary>
    public void Prune(float confidence)
    {
        if (Plan.Pruning is NoPruning)
            return;
        if (Layer == _first)
            Alive.RankBy(Logits.Values);
        if (!Plan.ReferenceCompatible)
        {
            Alive.Cut(Plan.AliveAt(Layer + 1, confidence), isFinal: Plan.Pruning is FixedPruning);
            return;
        }

        if (Alive.IsWhole)
            Alive.List(Plan.ReferenceListSize);
        Alive.Keep(Plan.ReferenceAliveAt(Layer + 1, confidence));
    }

    /// <summary>Says that the evaluation scored the first tokens of <see cref="Head"/>.</summary>
    public void HasScores(int count, bool zeroOutside)
    {
        _scored = count;
        _scratch.ZeroOutside = zeroOutside;
    }

    /// <summary>Writes the logarithm of every alive token's contrastive score; false where there are none, and the logits choose.</summary>
    /// <param name="scores">As many as <see cref="Logits"/> has.</param>
    public bool TryGetLogScores(Span<float> scores)
    {
        if (_scored < 0)
            return false;
        if (_scratch.ZeroOutside)
            scores.Fill(float.NegativeInfinity);
        else
            TensorPrimitives.Subtract(Logits.Values, (float)Logits.LogSumExp, scores);
        for (int index = 0; index < _scored; index++)
            scores[Head[index]] = (float)Math.Log(HeadScores[index]);
        return true;
    }

    public void Dispose()
    {
        Alive.Dispose();
        _hiddenStates?.Dispose();
        foreach (LayerLogits logits in _logits)
            logits.Dispose();
    }

    private Span<float> Kept(int layer) => _hiddenStates!.Span<float>((long)layer * _width, _width);
}
