using Microsoft.ML.EarlyExit.Evaluation.Text;
using Microsoft.ML.EarlyExit.ModelSharing;
using Microsoft.ML.EarlyExit.Transforms;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.EarlyExit;

/// <summary>Generates text from a column of texts, or of token ids, with a T5 whose tokens may exit the decoder early.</summary>
/// <remarks>
/// <para>Created by <c>mlContext.Transforms.Text.GenerateText</c>. There is nothing to train: <see cref="Fit"/> checks the schema and loads the model.</para>
/// <para>The transformer computes rows when they are read, and computes them again when they are read again; put <c>AppendCacheCheckpoint</c> behind it
/// where a trainer reads the data several times.</para>
/// <para>Load models from trusted sources only.</para>
/// </remarks>
public sealed class TextGenerationEstimator : IEstimator<TextGenerationTransformer>
{
    private readonly IHost _host;
    private readonly TextGenerationColumns _columns;
    private readonly TextGenerationOptions _generation;
    private readonly ModelSource _model;
    private readonly bool _savesByReference;

    internal TextGenerationEstimator(IHostEnvironment environment, Options options)
    {
        _columns = new TextGenerationColumns(
            options.InputColumnName,
            (GeneratedColumn.Text, options.OutputColumnName),
            (GeneratedColumn.TokenIds, options.TokenIdsColumnName),
            (GeneratedColumn.ExitLayers, options.ExitLayersColumnName),
            (GeneratedColumn.Confidences, options.ConfidencesColumnName),
            (GeneratedColumn.StopReason, options.StopReasonColumnName),
            (GeneratedColumn.OperationCounts, options.OperationCountsColumnName));
        _model = new ModelSource(options.ModelPath, options.Model, options.ModelOptions);
        _generation = options.GenerationOptions ?? new TextGenerationOptions();
        if (_generation.Trace)
            throw new ArgumentException("Trace has no column in a data view: set it to false, or use EarlyExitModel.Generate.", nameof(options));
        _host = environment.Register(nameof(TextGenerationEstimator));
        _savesByReference = options.SaveByReference;
    }

    /// <summary>Loads the model.</summary>
    /// <param name="input">Data with the input column; no row of it is read.</param>
    /// <returns>The transformer. Transformers of one bundle share one model in memory, which is released when the last of them is disposed; a model that was
    /// given to the estimator stays the caller's.</returns>
    /// <exception cref="ArgumentOutOfRangeException">The input column is missing, or is neither text nor a vector of ids.</exception>
    /// <exception cref="ArgumentException">The exit policy does not fit the model.</exception>
    /// <exception cref="DirectoryNotFoundException">There is no folder at the model's path.</exception>
    /// <exception cref="InvalidModelException">The bundle is damaged, or lacks the tokenizer that the columns need.</exception>
    public TextGenerationTransformer Fit(IDataView input)
    {
        ArgumentNullException.ThrowIfNull(input);
        DataViewSchema.Column column = _columns.Input.Find(input.Schema);
        ModelLease lease = _model.Lease(_host);
        try
        {
            _columns.CheckModel(lease.Model, column);
            return new TextGenerationTransformer(_host, lease, _columns, _generation, _savesByReference ? _model.Reference : null);
        }
        catch
        {
            lease.Dispose();
            throw;
        }
    }

    /// <summary>The shape of the transformer's output: the input's columns, then the generated ones.</summary>
    /// <param name="inputSchema">The shape of the input.</param>
    /// <returns>The shape of the output.</returns>
    /// <exception cref="ArgumentOutOfRangeException">The input column is missing, or is neither text nor a vector of ids.</exception>
    public SchemaShape GetOutputSchema(SchemaShape inputSchema)
    {
        ArgumentNullException.ThrowIfNull(inputSchema);
        return _columns.AddTo(inputSchema);
    }

    /// <summary>Everything a text generation can be given. Immutable.</summary>
    public sealed record Options
    {
        /// <summary>The column that receives the generated text.</summary>
        /// <value>The default value is null: no such column; another one must be named.</value>
        public string? OutputColumnName { get; init; }

        /// <summary>
        /// The column to generate from: text, of which a missing value gives a missing text unless <see cref="TextGenerationOptions.MissingTexts"/> says
        /// otherwise; or a vector of <see cref="int"/>, encoder ids exactly as given, <c>&lt;/s&gt;</c> included.
        /// </summary>
        /// <value>The default value is null: the column named <see cref="OutputColumnName"/>.</value>
        public string? InputColumnName { get; init; }

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
        /// How text is generated. <see cref="TextGenerationOptions.BatchSize"/> rows are decoded side by side, and up to eight times as many are read ahead for
        /// that; <see cref="TextGenerationOptions.Trace"/> must be false.
        /// </summary>
        /// <value>The default value is null: the defaults of <see cref="TextGenerationOptions"/>.</value>
        public TextGenerationOptions? GenerationOptions { get; init; }

        /// <summary>The column that receives the generated ids, <c>&lt;/s&gt;</c> included where it was generated: a vector of <see cref="int"/> of variable
        /// length.</summary>
        /// <value>The default value is null: no such column.</value>
        public string? TokenIdsColumnName { get; init; }

        /// <summary>
        /// The column that receives, for every generated token, the number of decoder blocks that ran for it, 1 to L: a vector of <see cref="int"/> of variable
        /// length.
        /// </summary>
        /// <value>The default value is null: no such column.</value>
        public string? ExitLayersColumnName { get; init; }

        /// <summary>
        /// The column that receives, for every generated token, the last confidence computed for it, in [0, 1], or NaN where none was: a vector of
        /// <see cref="float"/> of variable length.
        /// </summary>
        /// <value>The default value is null: no such column.</value>
        public string? ConfidencesColumnName { get; init; }

        /// <summary>
        /// The column that receives why the generation ended: the name of a <see cref="StopReason"/>, as text. With it, a row that cannot be generated is not
        /// an exception when it is read: it has <see cref="StopReason.Error"/> and what was generated before, and the log says what went wrong.
        /// </summary>
        /// <value>The default value is null: no such column.</value>
        public string? StopReasonColumnName { get; init; }

        /// <summary>
        /// The column that receives the row's <see cref="OperationCounts"/>: a vector of five <see cref="long"/>, whose slots are named Decoder,
        /// StatePropagation, Confidence, Head and Paper.
        /// </summary>
        /// <value>The default value is null: no such column.</value>
        public string? OperationCountsColumnName { get; init; }

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
