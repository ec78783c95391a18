using Microsoft.ML.Data;
using Microsoft.ML.EarlyExit.DataViews;

namespace Microsoft.ML.EarlyExit.Scoring;

/// <summary>A layer scoring bound to a schema.</summary>
internal sealed class LayerScoringMapper : ResultMapper<ScoredTarget>
{
    private readonly DataViewSchema.Column _input;
    private readonly DataViewSchema.Column _target;

    internal LayerScoringMapper(LayerScoringTransformer transformer, DataViewSchema inputSchema)
        : this(transformer, inputSchema, transformer.Columns.Input.Find(inputSchema), transformer.Columns.Target.Find(inputSchema))
    {
    }

    private LayerScoringMapper(LayerScoringTransformer transformer, DataViewSchema inputSchema, DataViewSchema.Column input, DataViewSchema.Column target)
        : base(inputSchema, transformer.Columns.Outputs, input, target)
    {
        transformer.Columns.Input.CheckTokenizer(transformer.Model, input);
        transformer.Columns.Target.CheckTokenizer(transformer.Model, target);
        Transformer = transformer;
        _input = input;
        _target = target;
    }

    internal LayerScoringTransformer Transformer { get; }

    /// <summary>Reads the input and the target of the current row of a source.</summary>
    internal (Func<GenerationInput> Input, Func<GenerationInput> Target) CreateGetters(DataViewRow source) =>
        (InputColumn.CreateGetter(source, source.Schema[_input.Index]), InputColumn.CreateGetter(source, source.Schema[_target.Index]));

    private protected override RowResults<ScoredTarget> CreateResults(DataViewRow source, long? rowCount, bool isCursor) =>
        new LayerScoringResults(this, source, rowCount, keepsScorer: isCursor);
}
