using Microsoft.ML.Data;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.EarlyExit;

/// <summary>Generates text from a text column with a T5 whose tokens leave the decoder early.</summary>
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
    private readonly TransformerFactory _createTransformer;

    internal TextGenerationEstimator(IHostEnvironment environment, Options options)
        : this(
            environment,
            new TextGenerationColumns(options.OutputColumnName, options.InputColumnName, options.ExitLayersColumnName),
            options.Generation,
            (host, columns, generation) => TextGenerationTransformer.LoadBundle(host, options.ModelPath, options.Model, columns, generation))
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(options.ModelPath, "modelPath");
    }

    internal TextGenerationEstimator(IHostEnvironment environment, TextGenerationColumns columns, EarlyExitModel model, TextGenerationOptions? generation)
        : this(
            environment,
            columns,
            generation,
            (host, columns, generation) => new TextGenerationTransformer(host, model, ownsModel: false, columns, generation))
    {
    }

    private TextGenerationEstimator(
        IHostEnvironment environment, TextGenerationColumns columns, TextGenerationOptions? generation, TransformerFactory createTransformer)
    {
        if (generation is { Trace: true })
            throw new ArgumentException("Trace has no column in a data view: set it to false, or use EarlyExitModel.Generate.", nameof(generation));
        _host = environment.Register(nameof(TextGenerationEstimator));
        _columns = columns;
        _generation = generation ?? new TextGenerationOptions();
        _createTransformer = createTransformer;
    }

    private delegate TextGenerationTransformer TransformerFactory(IHost host, TextGenerationColumns columns, TextGenerationOptions generation);

    /// <summary>Loads the model.</summary>
    /// <param name="input">Data with the input column; no row of it is read.</param>
    /// <returns>The transformer. It owns the model it loaded and releases it when it is disposed; a model that was given to the estimator stays the
    /// caller's.</returns>
    /// <exception cref="ArgumentOutOfRangeException">The input column is missing or is not text.</exception>
    /// <exception cref="ArgumentException">The exit policy does not fit the model.</exception>
    /// <exception cref="InvalidModelException">The bundle is damaged, or has no tokenizer.</exception>
    public TextGenerationTransformer Fit(IDataView input)
    {
        ArgumentNullException.ThrowIfNull(input);
        _columns.FindInput(input.Schema);
        return _createTransformer(_host, _columns, _generation);
    }

    /// <summary>The shape of the transformer's output: the input's columns, then the text and, where it is named, the column of exit layers.</summary>
    /// <param name="inputSchema">The shape of the input.</param>
    /// <returns>The shape of the output.</returns>
    /// <exception cref="ArgumentOutOfRangeException">The input column is missing or is not text.</exception>
    public SchemaShape GetOutputSchema(SchemaShape inputSchema)
    {
        ArgumentNullException.ThrowIfNull(inputSchema);
        _columns.CheckInput(inputSchema);
        var columns = new OrderedDictionary<string, SchemaShape.Column>();
        foreach (SchemaShape.Column column in inputSchema)
            columns[column.Name] = column;
        columns[_columns.Output] = MLNetInterop.CreateColumn(_columns.Output, SchemaShape.Column.VectorKind.Scalar, TextDataViewType.Instance);
        if (_columns.ExitLayers is { } exitLayers)
            columns[exitLayers] = MLNetInterop.CreateColumn(exitLayers, SchemaShape.Column.VectorKind.VariableVector, NumberDataViewType.Int32);
        return new SchemaShape(columns.Values);
    }

    /// <summary>Everything a text generation can be given. Immutable.</summary>
    public sealed class Options
    {
        /// <summary>The column that receives the generated text.</summary>
        public required string OutputColumnName { get; init; }

        /// <summary>The text column to generate from; a missing value counts as the empty text.</summary>
        /// <value>The default value is null: the column named <see cref="OutputColumnName"/>.</value>
        public string? InputColumnName { get; init; }

        /// <summary>The model bundle's folder.</summary>
        public required string ModelPath { get; init; }

        /// <summary>
        /// The column that receives, for every generated token, the number of decoder blocks that ran for it, 1 to L: a vector of <see cref="int"/>
        /// of variable length.
        /// </summary>
        /// <value>The default value is null: no such column.</value>
        public string? ExitLayersColumnName { get; init; }

        /// <summary>
        /// How text is generated. As many rows as <see cref="TextGenerationOptions.BatchSize"/> says are read ahead and decoded side by side;
        /// <see cref="TextGenerationOptions.Trace"/> must be false.
        /// </summary>
        /// <value>The default value is null: the defaults of <see cref="TextGenerationOptions"/>.</value>
        public TextGenerationOptions? Generation { get; init; }

        /// <summary>
        /// How the model is loaded. Without <see cref="EarlyExitModelOptions.GpuDeviceId"/>, <see cref="MLContext.GpuDeviceId"/> and
        /// <see cref="MLContext.FallbackToCpu"/> hold. It is not saved with a transformer: a loaded one follows the context that loads it.
        /// </summary>
        /// <value>The default value is null: the defaults of <see cref="EarlyExitModelOptions"/>.</value>
        public EarlyExitModelOptions? Model { get; init; }
    }
}
