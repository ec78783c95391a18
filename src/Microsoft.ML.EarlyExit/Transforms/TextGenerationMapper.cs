using Microsoft.ML.Data;
using Microsoft.ML.EarlyExit.DataViews;

namespace Microsoft.ML.EarlyExit.Transforms;

/// <summary>A text generation bound to a schema.</summary>
internal sealed class TextGenerationMapper : ResultMapper<GenerationResult>
{
    /// <summary>Batches that the rows read ahead fill: where a row has ended one of them begins, so more of them leave fewer slots idle beside a long
    /// row.</summary>
    private const int BatchesReadAhead = 8;

    private readonly DataViewSchema.Column _input;

    internal TextGenerationMapper(TextGenerationTransformer transformer, DataViewSchema inputSchema)
        : this(transformer, inputSchema, transformer.Columns.Input.Find(inputSchema))
    {
    }

    private TextGenerationMapper(TextGenerationTransformer transformer, DataViewSchema inputSchema, DataViewSchema.Column input)
        : base(inputSchema, transformer.Columns.Outputs, input)
    {
        transformer.Columns.CheckModel(transformer.Model, input);
        Transformer = transformer;
        _input = input;
    }

    internal TextGenerationTransformer Transformer { get; }

    /// <summary>Reads what to generate from out of the current row of the source.</summary>
    internal Func<GenerationInput> CreateInputGetter(DataViewRow source) => InputColumn.CreateGetter(source, source.Schema[_input.Index]);

    internal override DataViewRowCursor CreateCursor(DataViewRowCursor source, bool[] active, long? rowCount)
    {
        if (!Computes(active) || !GetActiveInputs(active).All(column => ColumnBuffer.CanHold(column.Type)))
            return base.CreateCursor(source, active, rowCount);
        int batchSize = Transformer.GenerationOptions.BatchSize;
        int capacity = batchSize == 1 ? 1 : batchSize * BatchesReadAhead;
        return new BatchedTextGenerationCursor(this, source, active, batchSize, capacity, rowCount);
    }

    private protected override RowResults<GenerationResult> CreateResults(DataViewRow source, long? rowCount, bool isCursor) =>
        new TextGenerationResults(this, source, rowCount);
}
