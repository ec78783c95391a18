using Microsoft.ML.Data;
using Microsoft.ML.EarlyExit.Evaluation.Text;
using Microsoft.ML.EarlyExit.ModelSharing;
using Microsoft.ML.EarlyExit.Scoring;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.EarlyExit;

/// <summary>Scores given targets at every decoder layer of a T5, at full depth: what each layer would have chosen at every position, and how sure it would have
/// been.</summary>
/// <remarks>
/// <para>Created by <c>mlContext.Transforms.Text.ScoreLayers</c>. There is nothing to train: <see cref="Fit"/> checks the schema and loads the model.</para>
/// <para>The decoder sees the target's own tokens before each position (teacher forcing), in one run for all positions, and nothing is pruned. Scores are
/// vectors of L · T numbers for a target of T tokens, layer after layer: index (layer - 1) · T + position, layers from 1.</para>
/// <para>Rows are computed when they are read, one at a time, and again when they are read again. A row holds 4 · d · (L + 1) bytes for every token of its
/// target, and at most 64 MB of logits, or one position's where those are more.</para>
/// <para>Load models from trusted sources only.</para>
/// </remarks>
public sealed class LayerScoringEstimator : IEstimator<LayerScoringTransformer>
{
    private readonly IHost _host;
    private readonly LayerScoringColumns _columns;
    private readonly TextGenerationOptions _generation;
    private readonly ModelSource _model;
    private readonly bool _savesByReference;

    internal LayerScoringEstimator(IHostEnvironment environment, Options options)
    {
        _columns = new LayerScoringColumns(
            options.InputColumnName,
            options.TargetColumnName,
            (ScoredColumn.ArgMax, options.ArgMaxColumnName),
            (ScoredColumn.Ranks, options.RanksColumnName),
            (ScoredColumn.Confidences, options.ConfidencesColumnName),
            (ScoredColumn.LogProbabilities, options.LogProbabilitiesColumnName),
            (ScoredColumn.TargetIds, options.TargetIdsColumnName));
        _model = new ModelSource(options.ModelPath, options.Model, options.ModelOptions);
        _generation = (options.GenerationOptions ?? new TextGenerationOptions()) with { Trace = false };
        _host = environment.Register(nameof(LayerScoringEstimator));
        _savesByReference = options.SaveByReference;
    }

    /// <summary>Loads the model.</summary>
    /// <param name="input">Data with the input and target columns; no row of it is read.</param>
    /// <returns>The transformer. Transformers of one bundle share one model in memory, which is released when the last of them is disposed; a model that was
    /// given to the estimator stays the caller's.</returns>
    /// <exception cref="ArgumentOutOfRangeException">The input or target column is missing, or is neither text nor a vector of ids.</exception>
    /// <exception cref="ArgumentException">The measure does not fit the model.</exception>
    /// <exception cref="DirectoryNotFoundException">There is no folder at the model's path.</exception>
    /// <exception cref="InvalidModelException">The bundle is damaged, or lacks the tokenizer that a column of texts needs.</exception>
    public LayerScoringTransformer Fit(IDataView input)
    {
        ArgumentNullException.ThrowIfNull(input);
        DataViewSchema.Column inputColumn = _columns.Input.Find(input.Schema);
        DataViewSchema.Column targetColumn = _columns.Target.Find(input.Schema);
        ModelLease lease = _model.Lease(_host);
        try
        {
            _columns.Input.CheckTokenizer(lease.Model, inputColumn);
            _columns.Target.CheckTokenizer(lease.Model, targetColumn);
            return new LayerScoringTransformer(_host, lease, _columns, _generation, _savesByReference ? _model.Reference : null);
        }
        catch
        {
            lease.Dispose();
            throw;
        }
    }

    /// <summary>The shape of the transformer's output: the input's columns, then the scores.</summary>
    /// <param name="inputSchema">The shape of the input.</param>
    /// <returns>The shape of the output.</returns>
    /// <exception cref="ArgumentOutOfRangeException">The input or target column is missing, or is neither text nor a vector of ids.</exception>
    public SchemaShape GetOutputSchema(SchemaShape inputSchema)
    {
        ArgumentNullException.ThrowIfNull(inputSchema);
        return _columns.AddTo(inputSchema);
    }

    /// <summary>Everything a layer scoring can be given. Immutable.</summary>
    public sealed record Options
    {
        /// <summary>
        /// The column of inputs: text; or a vector of <see cref="int"/>, encoder ids exactly as given, <c>&lt;/s&gt;</c> included. A row whose input or target
        /// is missing has no scores, unless <see cref="TextGenerationOptions.MissingTexts"/> says otherwise.
        /// </summary>
        public required string InputColumnName { get; init; }

        /// <summary>
        /// The column of targets: text, which <c>&lt;/s&gt;</c> is added to; or a vector of <see cref="int"/>, ids without the decoder start token and exactly
        /// as given. It may be a column of generated ids.
        /// </summary>
        public required string TargetColumnName { get; init; }

        /// <summary>The model bundle's folder.</summary>
        /// <value>The default value is null: <see cref="Model"/> is given instead.</value>
        public string? ModelPath { get; init; }

        /// <summary>A model that is loaded already. It stays the caller's, to be disposed after everything that was made with it.</summary>
        /// <value>The default value is null: <see cref="ModelPath"/> is given instead.</value>
        public EarlyExitModel? Model { get; init; }

        /// <summary>
        /// How <see cref="ModelPath"/> is loaded. Without <see cref="EarlyExitModelOptions.GpuDeviceId"/>, <see cref="MLContext.GpuDeviceId"/> and
        /// <see cref="MLContext.FallbackToCpu"/> hold. It is not saved with a transformer: a loaded one follows the context that loads it.
        /// </summary>
        /// <value>The default value is null: the defaults of <see cref="EarlyExitModelOptions"/>.</value>
        public EarlyExitModelOptions? ModelOptions { get; init; }

        /// <summary>
        /// How inputs are read, and the measure of confidence; the options of a generation can be given as they are.
        /// <see cref="TextGenerationOptions.Prefix"/>, <see cref="TextGenerationOptions.MaxInputTokens"/> and <see cref="TextGenerationOptions.Truncate"/> hold
        /// for inputs. A target of more than <see cref="TextGenerationOptions.MaxNewTokens"/> tokens, 2,048 where that is null, is an error of its row, never
        /// cut. Of <see cref="TextGenerationOptions.Exit"/> only <see cref="ExitPolicy.Confidence"/> counts, and <see cref="ExitPolicy.MinimumLayer"/>, where
        /// amateurs begin; null is the softmax margin. Since nothing is pruned, <see cref="ContrastiveOptions.PlausibilityFromPruning"/> has no meaning: the
        /// plausible set is that of <see cref="ContrastiveOptions.Alpha"/>, as at the minimum exit layer before the first cut. The other options have no
        /// meaning here.
        /// </summary>
        /// <value>The default value is null: the defaults of <see cref="TextGenerationOptions"/>.</value>
        public TextGenerationOptions? GenerationOptions { get; init; }

        /// <summary>The column that receives the likeliest id at every layer and position, over the full vocabulary, the first of equals: a vector of
        /// <see cref="int"/> of variable length.</summary>
        /// <value>The default value is null: no such column.</value>
        public string? ArgMaxColumnName { get; init; }

        /// <summary>
        /// The column that receives, for every layer and position, the rank, from 0, that the last layer's likeliest id has at this layer, over the full
        /// vocabulary; of equals the lower id comes first: a vector of <see cref="int"/> of variable length.
        /// </summary>
        /// <value>The default value is null: no such column.</value>
        public string? RanksColumnName { get; init; }

        /// <summary>
        /// The column that receives the confidence of every layer and position, in [0, 1], also of layers below the minimum exit layer and of the last one: a
        /// vector of <see cref="float"/> of variable length. It is what a generation at full depth, without pruning, computes after the same tokens.
        /// </summary>
        /// <value>The default value is null: no such column.</value>
        public string? ConfidencesColumnName { get; init; }

        /// <summary>The column that receives the natural logarithm of the target id's probability at every layer and position: a vector of <see cref="float"/>
        /// of variable length.</summary>
        /// <value>The default value is null: no such column.</value>
        public string? LogProbabilitiesColumnName { get; init; }

        /// <summary>The column that receives the target's ids, <c>&lt;/s&gt;</c> of a text included; as many as there are positions: a vector of
        /// <see cref="int"/> of variable length.</summary>
        /// <value>The default value is null: no such column.</value>
        public string? TargetIdsColumnName { get; init; }

        /// <summary>
        /// What saving the transformer stores: false, the whole model bundle; true, only <see cref="ModelPath"/> as it was given (of <see cref="Model"/> the
        /// full path) and the bundle's SHA-256. A relative path is then relative to the current folder of whoever loads it.
        /// </summary>
        /// <value>The default value is false.</value>
        public bool SaveByReference { get; init; }

        /// <summary>The values by their names, alike in every culture.</summary>
        /// <returns>One line of text.</returns>
        public override string ToString() => MemberText.Of(this);
    }
}
