using Microsoft.ML.EarlyExit.Exit.Pruning;
using Microsoft.ML.EarlyExit.Exit.Reference;
using Microsoft.ML.EarlyExit.Exit.Thresholds;
using Microsoft.ML.EarlyExit.Model;

namespace Microsoft.ML.EarlyExit.Exit;

/// <summary>An exit policy worked out for one model and one limit of tokens: which blocks run as one, and what is evaluated between them.</summary>
internal sealed class ExitPlan
{
    private readonly ThresholdSchedule? _thresholds;
    private readonly bool[] _evaluates;

    // For every layer the next one that is asked after; the last where none is.
    private readonly int[] _nextAsked;

    // For every exit layer of a token the first and the last layer that its successor is asked after; at 0 for the first token.
    private readonly (int First, int Last)[] _askedAfter;
    private readonly bool[] _keepsHiddenState;
    private readonly int[][] _amateurs;
    private readonly bool _fullAtLastLayer;

    private ExitPlan(ExitPolicy? policy, T5Configuration configuration, int maxNewTokens, bool evaluatesEveryLayer)
    {
        int layerCount = configuration.DecoderLayerCount;
        LayerCount = layerCount;
        VocabularySize = configuration.VocabularySize;
        Width = configuration.ModelDimension;
        int? staticLayer = policy?.StaticExitLayer;
        Speculation = policy?.SelfSpeculation;
        LastLayer = staticLayer is not null && Speculation is null ? staticLayer.Value : layerCount;
        FirstEvaluatedLayer = policy is null ? LastLayer : staticLayer ?? policy.FirstEvaluatedLayer;
        int lastEvaluated = staticLayer ?? policy?.ShallowDeep?.ExitLayer ?? (LastLayer - 1);
        _evaluates =
        [
            .. Enumerable.Range(0, LastLayer + 2).Select(layer => evaluatesEveryLayer
                ? layer >= 1 && layer <= LastLayer
                : layer >= FirstEvaluatedLayer && layer <= lastEvaluated && layer < LastLayer && policy?.AskLayers?.Contains(layer) != false),
        ];
        int[] asked = [.. Enumerable.Range(1, LastLayer - 1).Where(layer => _evaluates[layer])];
        _nextAsked = [.. Enumerable.Range(0, LastLayer + 1).Select(layer => asked.FirstOrDefault(later => later > layer, LastLayer))];
        _askedAfter = new (int, int)[LastLayer + 1];
        Array.Fill(_askedAfter, (FirstEvaluatedLayer, asked.LastOrDefault(LastLayer)));
        for (int exit = 1; policy?.AskNearPrevious is { } near && asked.Length > 0 && exit <= LastLayer; exit++)
        {
            // After a token that did not exit early the last ones: as if there were one more behind them.
            long place = asked.Count(layer => layer < exit);
            _askedAfter[exit] = (asked[Math.Max(0, place - near)], asked[Math.Min(asked.Length - 1, place + near)]);
        }

        VocabularyPruning pruning = VocabularyPruning.None;
        bool referenceCompatible = false;
        _fullAtLastLayer = true;
        _keepsHiddenState = new bool[LastLayer + 1];
        _amateurs = [.. Enumerable.Repeat<int[]>([], LastLayer + 1)];
        if (_evaluates.Contains(true))
        {
            // With a static exit every token is drafted there; no confidence is evaluated.
            Confidence = staticLayer is null ? policy!.Measure : null;
            StatePropagation = Speculation is null ? policy!.StatePropagation : StatePropagation.ParallelDecoding;
            Adapts = policy!.ShallowDeep is { AdaptiveThreshold: true };
            FirstThreshold = policy.Threshold;
            referenceCompatible = policy.ReferenceCompatible;

            // A fixed number that the vocabulary does not exceed cuts nothing at any layer. The published code lists it all the same.
            if (!policy.Pruning.CutsOnce || referenceCompatible || policy.Pruning.FirstSize(FirstEvaluatedLayer, layerCount) < VocabularySize)
                pruning = policy.Pruning;
            _fullAtLastLayer = policy.FullVocabularyAtLastLayer || !pruning.Prunes;
            _thresholds = referenceCompatible
                ? new ReferenceThresholdSchedule(policy, layerCount, maxNewTokens)
                : new ThresholdSchedule(policy, layerCount, maxNewTokens);
            for (int layer = 0; layer <= LastLayer; layer++)
            {
                _keepsHiddenState[layer] = Confidence?.NeedsHiddenState(layer, this) ?? false;
                if (_evaluates[layer] && Confidence is not null)
                    _amateurs[layer] = [.. Confidence.AmateurLayers(layer, this)];
            }
        }

        Cuts = referenceCompatible
            ? new ReferenceCuts(pruning, FirstEvaluatedLayer, layerCount, VocabularySize)
            : new VocabularyCuts(pruning, FirstEvaluatedLayer, layerCount, VocabularySize);
        var segments = new List<DecoderSegment>();
        int first = 1;
        for (int layer = 1; layer <= LastLayer; layer++)
        {
            if (!_evaluates[layer] && !_keepsHiddenState[layer] && layer < LastLayer)
                continue;
            segments.Add(new DecoderSegment(first, layer));
            first = layer + 1;
        }

        Segments = segments;
    }

    /// <summary>The decoder's layers, L.</summary>
    public int LayerCount { get; }

    /// <summary>The length of a hidden state.</summary>
    public int Width { get; }

    public int VocabularySize { get; }

    /// <summary>The blocks in order, in groups between which a token can exit or its hidden state is kept.</summary>
    public IReadOnlyList<DecoderSegment> Segments { get; }

    /// <summary>The measure that is evaluated; null where no confidence ever is: at full depth, and where all tokens exit without one.</summary>
    public Confidence? Confidence { get; }

    /// <summary>How tokens that exit early are verified; null where they are not.</summary>
    public SelfSpeculation? Speculation { get; }

    public StatePropagation StatePropagation { get; }

    /// <summary>Whether the threshold is learned while generating.</summary>
    public bool Adapts { get; }

    /// <summary>The threshold that learning begins with.</summary>
    public float FirstThreshold { get; }

    /// <summary>How the vocabulary is cut between layers.</summary>
    public VocabularyCuts Cuts { get; }

    /// <summary>The first layer after which a confidence is evaluated, j, though a token may first be asked later; the last layer where none ever is.</summary>
    public int FirstEvaluatedLayer { get; }

    /// <summary>The layer after which every token that is still running exits.</summary>
    public int LastLayer { get; }

    public static ExitPlan Create(ExitPolicy? policy, T5Configuration configuration, int maxNewTokens)
    {
        policy?.Validate(configuration);
        return new ExitPlan(policy, configuration, maxNewTokens, evaluatesEveryLayer: false);
    }

    /// <summary>A plan that evaluates after every layer, the last one too, and cuts nothing.</summary>
    /// <param name="measure">Of it only the confidence counts, and the minimum layer, where amateurs begin; null for the softmax margin.</param>
    /// <param name="configuration">The model's sizes.</param>
    /// <exception cref="ArgumentException">The measure does not fit the model.</exception>
    public static ExitPlan ForScoring(ExitPolicy? measure, T5Configuration configuration)
    {
        measure ??= new ExitPolicy();
        var policy = new ExitPolicy { MinimumLayer = measure.MinimumLayer, Confidence = measure.Confidence.WithoutPruning() };
        policy.Validate(configuration);
        return new ExitPlan(policy, configuration, maxNewTokens: 1, evaluatesEveryLayer: true);
    }

    /// <summary>Whether a confidence is evaluated after a layer: one before the last, unless given targets are scored.</summary>
    public bool Evaluates(int layer) => layer < _evaluates.Length && _evaluates[layer];

    /// <summary>Whether a confidence at a layer counts as a number also for a token that does not exit for it: no later one takes its place, or the pruning or
    /// the threshold follows it.</summary>
    /// <param name="layer">The layer.</param>
    /// <param name="last">The last layer that the token is asked after.</param>
    public bool NeedsNumberAt(int layer, int last) => Adapts || layer >= last || CutsByConfidence;

    /// <summary>The next layer that is asked after; the last layer where none is.</summary>
    public int NextAsked(int layer) => _nextAsked[layer];

    /// <summary>The first and the last layer that a token is asked after.</summary>
    /// <param name="previousExit">The layer that the token before it exited after; 0 where there is none.</param>
    public (int First, int Last) AskedAfter(int previousExit) => _askedAfter[previousExit];

    /// <summary>Whether a confidence says how many tokens stay alive: a hundred-thousandth of it can be one of them.</summary>
    public bool CutsByConfidence => Cuts.Pruning.ShareOf(VocabularySize, 0) is not null;

    /// <summary>The threshold at a layer for a token at a position.</summary>
    public float ThresholdAt(int layer, int position) => _thresholds!.At(layer, position);

    /// <summary>Whether the hidden state after a layer is kept for a later one.</summary>
    public bool KeepsHiddenState(int layer) => _keepsHiddenState[layer];

    /// <summary>The layers before j whose logits an evaluation needs.</summary>
    public ReadOnlySpan<int> AmateurLayers(int layer) => _amateurs[layer];

    /// <summary>Whether a layer's logits are over the full vocabulary, also for a token of which others were cut.</summary>
    public bool IsFullAt(int layer) => layer == LastLayer && _fullAtLastLayer;

    /// <summary>The head rows that the published code charges for an evaluation.</summary>
    public int PaperRows(bool isFirst, int alive, float previousConfidence) =>
        ReferenceRows.Of(Cuts.Pruning, isFirst, alive, VocabularySize, previousConfidence);

    /// <summary>How many tokens a row drafts before they are verified.</summary>
    /// <param name="accepted">Drafts of the row that were accepted so far.</param>
    /// <param name="verified">Drafts of the row that were verified so far.</param>
    public int DraftTokens(int accepted, int verified) =>
        Speculation!.DraftTokens ?? SelfSpeculation.BestDraftTokens(accepted, verified, (double)FirstEvaluatedLayer / LastLayer);

    /// <summary>Whether a token of that confidence exits: strictly above the threshold, so that threshold 1 is the full model.</summary>
    public bool Exits(float confidence, int layer, int position) => confidence > ThresholdAt(layer, position);
}
