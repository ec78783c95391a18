using Microsoft.ML.Data;

namespace Microsoft.ML.EarlyExit;

/// <summary>A row with its generated columns, over a row of the source that moves on by itself.</summary>
internal sealed class TextGenerationRow(TextGenerationMapper mapper, DataViewRow input, bool[] active) : DataViewRow
{
    private readonly TextGenerationRun _run = new(mapper.Transformer);
    private readonly GenerationInput[] _text = new GenerationInput[1];
    private ValueGetter<ReadOnlyMemory<char>>? _getInput;
    private GenerationResult? _result;
    private long _resultPosition;

    public override DataViewSchema Schema => mapper.OutputSchema;

    public override long Position => input.Position;

    public override long Batch => input.Batch;

    public override ValueGetter<DataViewRowId> GetIdGetter() => input.GetIdGetter();

    public override bool IsColumnActive(DataViewSchema.Column column) => active[column.Index];

    public override ValueGetter<TValue> GetGetter<TValue>(DataViewSchema.Column column)
    {
        if (!IsColumnActive(column))
            throw new InvalidOperationException($"Column '{column.Name}' is not active in this row.");
        return mapper.IsGenerated(column)
            ? TextGenerationMapper.Cast<TValue>(mapper.CreateGetter(column, GetResult), column)
            : input.GetGetter<TValue>(input.Schema[column.Index]);
    }

    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            _run.Dispose();
            input.Dispose();
        }

        base.Dispose(disposing);
    }

    // Several columns of one row cost one generation.
    private GenerationResult GetResult()
    {
        long position = input.Position;
        if (_result is null || _resultPosition != position)
        {
            ReadOnlyMemory<char> text = default;
            _getInput ??= mapper.GetInputGetter(input);
            _getInput(ref text);
            _text[0] = GenerationInput.FromText(text.ToString());
            _result = _run.Generate(_text, position)[0];
            _resultPosition = position;
        }

        return TextGenerationRun.Check(_result, position);
    }
}
