using System.Numerics.Tensors;
using Microsoft.ML.EarlyExit.Exit;
using Microsoft.ML.EarlyExit.Generation;
using Microsoft.ML.EarlyExit.Memory;
using Microsoft.ML.EarlyExit.Runtime;

namespace Microsoft.ML.EarlyExit.Scoring;

/// <summary>Scores targets at every layer, one row after the other. Keeps its model alive until it is disposed. For one caller at a time.</summary>
/// <remarks>
/// Positions are taken in blocks. A block's logits are held for one layer and the last one or, for a measure that compares layers, for all layers; blocks have
/// fewer positions where that would exceed <see cref="MostLogitBytes"/>, and one at the least. So logits take no more for a longer target; hidden states do, 4
/// · d · (L + 1) bytes for every token.
/// </remarks>
internal sealed class LayerScorer : IDisposable
{
    /// <summary>Memory for logits, unless one position's need more.</summary>
    private const long MostLogitBytes = 64 << 20;

    /// <summary>Tokens of a target where the options do not say how many: the decoder needs memory that grows with their square.</summary>
    private const int MostTargetTokens = 2048;

    private readonly EarlyExitModel _model;
    private readonly ExitPlan _plan;
    private readonly TeacherForcedRun _run;
    private readonly EvaluationScratch _scratch;
    private readonly NativeArena _kept = new();
    private readonly int _layerCount;
    private readonly int _vocabularySize;

    // One for each layer; or one that all layers before the last have in turn, and one for the last.
    private readonly NativeBuffer?[] _logits;
    private readonly TokenState?[] _states;
    private readonly int[] _positions;
    private readonly int[] _lastArgMax;
    private int _capacity;

    /// <param name="model">The model.</param>
    /// <param name="measure">Says the measure: its confidence, and the minimum layer where amateurs begin; null for the softmax margin.</param>
    /// <exception cref="ArgumentException">The measure does not fit the model.</exception>
    /// <exception cref="ObjectDisposedException">The model is disposed.</exception>
    public LayerScorer(EarlyExitModel model, ExitPolicy? measure)
        : this(model, measure, MostLogitBytes)
    {
    }

    /// <summary>As the other, with other memory for logits.</summary>
    internal LayerScorer(EarlyExitModel model, ExitPolicy? measure, long mostLogitBytes)
    {
        _model = model;
        _plan = ExitPlan.ForScoring(measure, model.Configuration);
        _layerCount = model.Configuration.DecoderLayerCount;
        _vocabularySize = model.Configuration.VocabularySize;
        int heldLayers = _plan.Confidence!.ComparesLayers ? _layerCount : Math.Min(2, _layerCount);
        int block = (int)Math.Clamp(mostLogitBytes / ((long)heldLayers * _vocabularySize * sizeof(float)), 1, TeacherForcedRun.HeadBlock);
        _scratch = new EvaluationScratch(_vocabularySize);
        _logits = new NativeBuffer?[heldLayers];
        _states = new TokenState?[block];
        _positions = new int[block];
        _lastArgMax = new int[block];
        _run = model.StartTeacherForcing();
    }

    /// <summary>Checks that a model can be asked for a measure.</summary>
    /// <exception cref="ArgumentException">The measure does not fit the model.</exception>
    public static void Check(EarlyExitModel model, ExitPolicy? measure) => ExitPlan.ForScoring(measure, model.Configuration);

    /// <summary>Scores one row; the result has one item per layer, 1 to L.</summary>
    /// <param name="inputIds">Encoder ids, checked, as <see cref="EarlyExitModel.Prepare"/> makes them.</param>
    /// <param name="targetIds">The target, without the start token; at least one id.</param>
    /// <exception cref="ArgumentException">The target is empty, or an id of it is outside the vocabulary.</exception>
    /// <exception cref="InvalidModelException">A graph is damaged or cannot be run.</exception>
    /// <exception cref="InvalidOperationException">The model computes no number for this row.</exception>
    public IReadOnlyList<LayerScore> Score(IReadOnlyList<int> inputIds, ReadOnlySpan<int> targetIds)
    {
        if (PreparedTarget.Check(targetIds, _model.Configuration) is { } invalid)
            throw new ArgumentException(invalid, nameof(targetIds));
        return Score(inputIds, targetIds, RowMemory.DefaultLimit, out string? error, CancellationToken.None) ?? throw new InvalidOperationException(error);
    }

    /// <summary>Scores one row as it is given; what is wrong with it is said in the result.</summary>
    /// <param name="input">The input.</param>
    /// <param name="target">The target: a text, which <c>&lt;/s&gt;</c> is added to, or ids exactly as given.</param>
    /// <param name="options">How the input is read, and how many tokens a target may have.</param>
    /// <param name="cancellationToken">Checked between operators and products.</param>
    /// <exception cref="InvalidModelException">A graph is damaged or cannot be run.</exception>
    /// <exception cref="OperationCanceledException">Cancellation was requested.</exception>
    public ScoredTarget Score(GenerationInput input, GenerationInput target, TextGenerationOptions options, CancellationToken cancellationToken = default)
    {
        target = target.Under(options);
        PreparedInput preparedInput = _model.Prepare(input, options);
        if (preparedInput.IsMissing || target.IsMissing)
            return ScoredTarget.Skipped;
        if (preparedInput.Error is not null)
            return ScoredTarget.Failed(preparedInput.Error);
        PreparedTarget preparedTarget = PreparedTarget.Prepare(
            target, _model.Tokenizer, _model.Configuration, options.MaxNewTokens ?? MostTargetTokens, cuts: false);
        if (preparedTarget.Error is not null)
            return ScoredTarget.Failed(preparedTarget.Error);
        IReadOnlyList<LayerScore>? layers = Score(
            preparedInput.TokenIds, preparedTarget.TokenIds, options.EncoderMemoryBytes, out string? error, cancellationToken);
        return layers is null ? ScoredTarget.Failed(error!) : new ScoredTarget(preparedTarget.TokenIds, layers, preparedInput.CutTokens, null);
    }

    public void Dispose()
    {
        foreach (NativeBuffer? buffer in _logits)
            buffer?.Dispose();
        _kept.Dispose();
        _run.Dispose();
    }

    private LayerScore[]? Score(
        IReadOnlyList<int> inputIds, ReadOnlySpan<int> targetIds, long memoryLimit, out string? error, CancellationToken cancellationToken)
    {
        error = _run.Decode(inputIds, targetIds, memoryLimit, cancellationToken);
        if (error is not null)
            return null;
        var arrays = new Arrays[_layerCount + 1];
        for (int layer = 1; layer <= _layerCount; layer++)
            arrays[layer] = new Arrays(targetIds.Length);
        int block = Reserve(targetIds.Length);
        for (int start = 0; start < targetIds.Length && error is null; start += block)
            error = Score(targetIds, start, Math.Min(block, targetIds.Length - start), arrays, cancellationToken);
        return error is null ? [.. Enumerable.Range(1, _layerCount).Select(layer => arrays[layer].ToScore(layer))] : null;
    }

    /// <summary>Scores a block of positions.</summary>
    /// <returns>What is wrong with the row; null where nothing is.</returns>
    private string? Score(ReadOnlySpan<int> targetIds, int start, int count, Arrays[] scores, CancellationToken cancellationToken)
    {
        ReadOnlySpan<int> positions = _positions.AsSpan(0, count);
        for (int index = 0; index < count; index++)
        {
            _positions[index] = start + index;
            _states[index]!.Begin(start + index);
            _states[index]!.Reach(0, _run.HiddenMemory(0, start + index));
        }

        // First, since every layer ranks its choice.
        if (!TryCompute(_layerCount, positions))
            return NotANumber("a logit of its target is a NaN or an infinity", _layerCount);
        for (int index = 0; index < count; index++)
            _lastArgMax[index] = LogitScan.ArgMax(Logits(_layerCount, index, 1).Span);
        for (int layer = 1; layer <= _layerCount; layer++)
        {
            cancellationToken.ThrowIfCancellationRequested();
            if (layer < _layerCount && !TryCompute(layer, positions))
                return NotANumber("a logit of its target is a NaN or an infinity", layer);
            for (int index = 0; index < count; index++)
            {
                TokenState state = _states[index]!;
                Memory<float> held = Logits(layer, index, 1);
                Span<float> logits = held.Span;
                state.Reach(layer, _run.HiddenMemory(layer, start + index));
                state.Logits.Set(held, isFull: true, keep: false);
                float confidence = _plan.Confidence!.Evaluate(state);
                if (float.IsNaN(confidence))
                    return state.Problem ?? NotANumber($"the confidence of token {start + index} is no number", layer);
                scores[layer].ArgMax[start + index] = LogitScan.ArgMax(logits);
                scores[layer].Rank[start + index] = LogitScan.Rank(logits, _lastArgMax[index]);
                scores[layer].Confidence[start + index] = confidence;
                scores[layer].LogProbability[start + index] = (float)(logits[targetIds[start + index]] - state.Logits.LogSumExp);
            }
        }

        return null;
    }

    private bool TryCompute(int layer, ReadOnlySpan<int> positions)
    {
        Span<float> logits = Logits(layer, 0, positions.Length).Span;
        _run.ComputeLogits(layer, positions, logits);
        return TensorPrimitives.IsFiniteAll<float>(logits);
    }

    private Memory<float> Logits(int layer, int index, int count)
    {
        int buffer = _logits.Length == _layerCount ? layer - 1 : layer < _layerCount ? 0 : 1;
        return _logits[buffer]!.Floats((long)index * _vocabularySize, count * _vocabularySize);
    }

    /// <summary>Makes memory for a target, and says how many of its positions are a block.</summary>
    private int Reserve(int length)
    {
        int block = Math.Min(length, _states.Length);
        if (block <= _capacity)
            return block;
        for (int index = 0; index < _logits.Length; index++)
        {
            _logits[index]?.Dispose();
            _logits[index] = null;
            _logits[index] = new NativeBuffer((long)block * _vocabularySize * sizeof(float));
        }

        for (int index = _capacity; index < block; index++)
            _states[index] = new TokenState(_plan, _scratch, _kept.Floats);
        _capacity = block;
        return block;
    }

    private static string NotANumber(string what, int layer) => $"After decoder layer {layer} {what}: the model's weights do not fit this input.";

    private readonly struct Arrays(int length)
    {
        public int[] ArgMax { get; } = new int[length];

        public int[] Rank { get; } = new int[length];

        public float[] Confidence { get; } = new float[length];

        public float[] LogProbability { get; } = new float[length];

        public LayerScore ToScore(int layer) =>
            new() { Layer = layer, ArgMax = ArgMax, Rank = Rank, Confidence = Confidence, LogProbability = LogProbability };
    }
}
