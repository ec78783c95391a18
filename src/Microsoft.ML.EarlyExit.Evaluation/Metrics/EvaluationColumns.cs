using Microsoft.ML.Data;

namespace Microsoft.ML.EarlyExit.Evaluation.Metrics;

/// <summary>The columns of an evaluation, found in a schema and checked.</summary>
internal sealed class EvaluationColumns
{
    /// <exception cref="ArgumentException">The options ask for nothing, or for something whose column they do not name.</exception>
    /// <exception cref="ArgumentOutOfRangeException">A column is missing, or of another type.</exception>
    public EvaluationColumns(DataViewSchema schema, TextGenerationEvaluationOptions options)
    {
        Prediction = Find(schema, options.PredictionColumnName, nameof(options.PredictionColumnName), IsText, "String");
        Label = Find(schema, options.LabelColumnName, nameof(options.LabelColumnName), ReferenceReader.Accepts, ReferenceReader.Expected);
        FullDepth = Find(schema, options.FullDepthColumnName, nameof(options.FullDepthColumnName), IsText, "String");
        ExitLayers = Find(
            schema, options.ExitLayersColumnName, nameof(options.ExitLayersColumnName),
            type => type is VectorDataViewType && IsNumber<int>(ItemType(type)), "a vector of Int32");
        Operations = Find(
            schema, options.OperationCountsColumnName, nameof(options.OperationCountsColumnName),
            type => type is VectorDataViewType { Size: 5 } && IsNumber<long>(ItemType(type)), "a vector of 5 Int64");
        StopReason = Find(schema, options.StopReasonColumnName, nameof(options.StopReasonColumnName), IsText, "String");
        if (Prediction is null && ExitLayers is null && Operations is null)
        {
            throw new ArgumentException(
                "There is nothing to evaluate: name at least PredictionColumnName, ExitLayersColumnName or OperationCountsColumnName.", nameof(options));
        }

        if (Prediction is null && (Label ?? FullDepth) is not null)
        {
            throw new ArgumentException(
                "LabelColumnName and FullDepthColumnName are compared with the predictions: name PredictionColumnName too.", nameof(options));
        }

        if (Prediction is not null && (Label ?? FullDepth) is null)
        {
            throw new ArgumentException(
                "There is nothing to compare the predictions with: name LabelColumnName, FullDepthColumnName or both.", nameof(options));
        }

        if (Label is not null && options.Metrics == EvaluationMetrics.None)
            throw new ArgumentException("Metrics is None, but LabelColumnName names references: choose a metric, or leave the column out.", nameof(options));
    }

    public DataViewSchema.Column? Prediction { get; }

    public DataViewSchema.Column? Label { get; }

    public DataViewSchema.Column? FullDepth { get; }

    public DataViewSchema.Column? ExitLayers { get; }

    public DataViewSchema.Column? Operations { get; }

    public DataViewSchema.Column? StopReason { get; }

    /// <summary>All of them.</summary>
    public IEnumerable<DataViewSchema.Column> All =>
        ((DataViewSchema.Column?[])[Prediction, Label, FullDepth, ExitLayers, Operations, StopReason]).OfType<DataViewSchema.Column>();

    /// <summary>What scores their rows.</summary>
    public RowScorer CreateScorer(TextGenerationEvaluationOptions options) =>
        new(
            Label is null ? EvaluationMetrics.None : options.Metrics,
            new RougeScorer(options.UseStemmer, options.Aggregation, options.RougeTokenizer, options.SplitSentences))
        {
            BleuTokenizer = options.BleuTokenizer,
            BleuLowercase = options.BleuLowercase,
            ChrfWordOrder = options.ChrfWordOrder,
            HasFullDepth = FullDepth is not null,
            HasExitLayers = ExitLayers is not null,
            HasOperations = Operations is not null,
        };

    /// <summary>What a row's problem is, in words.</summary>
    public string Describe(RowProblem problem) => problem switch
    {
        RowProblem.MissingPrediction when FullDepth is { } full => $"its text is missing from column '{Prediction!.Value.Name}' or '{full.Name}'",
        RowProblem.MissingPrediction => $"its text is missing from column '{Prediction!.Value.Name}'",
        RowProblem.MissingReference => $"column '{Label!.Value.Name}' has no reference for it",
        _ when StopReason is { } reason => $"it could not be generated, as column '{reason.Name}' says, or its exit layers or operation counts cannot be",
        _ => "its exit layers or operation counts cannot be",
    };

    private static DataViewType ItemType(DataViewType type) => type is VectorDataViewType vector ? vector.ItemType : type;

    private static bool IsText(DataViewType type) => type is TextDataViewType;

    private static bool IsNumber<T>(DataViewType type) => type is NumberDataViewType number && number.RawType == typeof(T);

    private static DataViewSchema.Column? Find(DataViewSchema schema, string? name, string option, Func<DataViewType, bool> fits, string expected)
    {
        if (name is null)
            return null;
        ArgumentException.ThrowIfNullOrWhiteSpace(name, option);
        DataViewSchema.Column column = schema.GetColumnOrNull(name)
            ?? throw new ArgumentOutOfRangeException(option, $"Could not find column '{name}', which {option} names");
        return fits(column.Type)
            ? column
            : throw new ArgumentOutOfRangeException(
                option, $"Schema mismatch for column '{name}', which {option} names: expected {expected}, got {column.Type}");
    }
}
