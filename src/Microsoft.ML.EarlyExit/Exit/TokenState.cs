using System.Numerics.Tensors;
using Microsoft.ML.EarlyExit.Exit.Pruning;

namespace Microsoft.ML.EarlyExit.Exit;

/// <summary>
/// One row's token on its way through the decoder: the layer it has reached, and what of earlier layers a confidence measure compares with. Serves one token
/// after another; allocates nothing once every layer has been reached.
/// </summary>
internal sealed class TokenState
{
    private readonly EvaluationScratch _scratch;
    private readonly LayerLogits[] _logits;
    private readonly Memory<float>[] _hiddenStates;
    private ReadOnlyMemory<float> _hidden;
    private int _scored;

    /// <param name="plan">What is evaluated after which layer.</param>
    /// <param name="scratch">What the tokens of a session share.</param>
    /// <param name="allocate">Makes memory, of the length that it is given, for logits and hidden states that are kept; it must live as long as the state is
    /// used.</param>
    public TokenState(ExitPlan plan, EvaluationScratch scratch, Func<int, Memory<float>> allocate)
    {
        Plan = plan;
        Alive = new AliveVocabulary(plan.VocabularySize, scratch, plan.Cuts.MostAlive, allocate);
        _scratch = scratch;
        _logits =
        [
            .. Enumerable.Range(0, plan.LastLayer + 1)
                .Select(layer => new LayerLogits(allocate, layer > plan.FirstEvaluatedLayer && !plan.IsFullAt(layer) ? plan.Cuts.MostAlive : 0)),
        ];
        _hiddenStates = [.. Enumerable.Range(0, plan.LastLayer + 1).Select(layer => plan.KeepsHiddenState(layer) ? allocate(plan.Width) : default)];
    }

    public ExitPlan Plan { get; }

    /// <summary>The token's position in the output, from 0.</summary>
    public int Position { get; private set; }

    /// <summary>The first and the last layer that the token is asked after.</summary>
    public (int First, int Last) Asked { get; private set; }

    /// <summary>Whether a confidence is computed at <see cref="Layer"/>.</summary>
    public bool IsAsked => Plan.Evaluates(Layer) && Layer >= Asked.First && Layer <= Asked.Last;

    /// <summary>Whether a confidence at <see cref="Layer"/> counts as a number also where the token does not exit for it.</summary>
    public bool NeedsNumber => Plan.NeedsNumberAt(Layer, Asked.Last);

    /// <summary>How many of the best tokens have to be ranked by the logits at <see cref="Layer"/>, given its confidence; 0 where none are.</summary>
    public int Ranked(float confidence) => Cuts && Layer == Asked.First ? Plan.Cuts.RankedBefore(NextLayer, confidence) : 0;

    // Where the last layer chooses from the whole vocabulary, nothing reads what would be left before it.
    private bool Cuts => NextLayer < Plan.LastLayer || !Plan.IsFullAt(NextLayer) || Plan.Cuts.IsReadAtLastLayer;

    // The next layer whose logits are computed.
    private int NextLayer => Layer >= Asked.Last ? Plan.LastLayer : Plan.NextAsked(Layer);

    /// <summary>Decoder blocks that have run.</summary>
    public int Layer { get; private set; }

    /// <summary>The vocabulary at <see cref="Layer"/>.</summary>
    public AliveVocabulary Alive { get; }

    /// <summary>The hidden state after <see cref="Layer"/> blocks.</summary>
    public ReadOnlySpan<float> Hidden => _hidden.Span;

    /// <summary>The logits at <see cref="Layer"/>.</summary>
    public LayerLogits Logits => _logits[Layer];

    /// <summary>The layer that the last evaluation compared with; null where it compared with none.</summary>
    public int? AmateurLayer { get; set; }

    /// <summary>Scratch for the indices, among the alive tokens, of those in the plausible set.</summary>
    public Span<int> PlausibleSet => _scratch.PlausibleSet;

    /// <summary>Scratch for the scores of the plausible set's tokens.</summary>
    public Span<double> PlausibleScores => _scratch.PlausibleScores;

    /// <summary>What is wrong with the last confidence, where the measure or the pruning fails rather than the model; null where nothing is.</summary>
    public string? Problem { get; set; }

    /// <summary>Begins another token.</summary>
    /// <param name="position">Its position in the output, from 0.</param>
    /// <param name="previousExit">The layer that the token before it exited after; 0 where there is none.</param>
    public void Begin(int position, int previousExit = 0)
    {
        Position = position;
        Asked = Plan.AskedAfter(previousExit);
        Layer = 0;
        Alive.Begin();
        foreach (LayerLogits logits in _logits)
            logits.Clear();
    }

    /// <summary>Records that the token has reached a layer.</summary>
    /// <param name="layer">Blocks that have run.</param>
    /// <param name="hidden">The hidden state; it stays where it is until the next layer is reached.</param>
    public void Reach(int layer, ReadOnlyMemory<float> hidden)
    {
        Layer = layer;
        AmateurLayer = null;
        Problem = Plan.Cuts.FindProblem(Alive, Position, layer);
        _scored = -1;
        Move(hidden);
        if (Plan.KeepsHiddenState(layer))
            hidden.CopyTo(_hiddenStates[layer]);
    }

    /// <summary>Records that the hidden state has been copied to another place.</summary>
    public void Move(ReadOnlyMemory<float> hidden) => _hidden = hidden;

    /// <summary>The hidden state of an earlier layer that the plan keeps.</summary>
    public ReadOnlySpan<float> HiddenAfter(int layer) => _hiddenStates[layer].Span;

    /// <summary>The logits of this layer or an earlier one.</summary>
    public LayerLogits LogitsAt(int layer) => _logits[layer];

    /// <summary>An earlier layer's logarithms of probabilities, of the tokens at the places of <see cref="Logits"/>.</summary>
    /// <param name="layer">The layer.</param>
    /// <param name="ofCut">That of a token that was not alive there.</param>
    public AmateurLogProbabilities LogProbabilitiesAt(int layer, double ofCut)
    {
        LayerLogits amateur = _logits[layer];
        return new AmateurLogProbabilities(amateur, amateur.IsFull && !Logits.IsFull ? Alive.Ids : [], ofCut);
    }

    /// <summary>Cuts the vocabulary for the next layer, after a confidence at this one.</summary>
    public void Prune(float confidence)
    {
        if (Cuts)
            Plan.Cuts.Cut(Alive, Layer == Asked.First, NextLayer, Logits.Values, confidence);
    }

    /// <summary>Records that the evaluation scored the first tokens of <see cref="PlausibleSet"/>.</summary>
    public void RecordScores(int count, bool zeroOutside)
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
            scores[PlausibleSet[index]] = (float)Math.Log(PlausibleScores[index]);
        return true;
    }
}
