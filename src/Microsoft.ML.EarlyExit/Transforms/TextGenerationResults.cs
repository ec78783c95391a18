using Microsoft.ML.EarlyExit.DataViews;
using Microsoft.ML.EarlyExit.Generation;

namespace Microsoft.ML.EarlyExit.Transforms;

/// <summary>What is generated for the rows of a source, one at a time. No batch is kept between rows.</summary>
internal sealed class TextGenerationResults(TextGenerationMapper mapper, DataViewRow source, long? rowCount) : RowResults<GenerationResult>(source)
{
    private readonly DataViewRow _source = source;
    private readonly TextGenerationRun _run = new(mapper.Transformer, rowCount, TimeProvider.System);
    private Func<GenerationInput>? _getInput;

    public override void Dispose() => _run.Dispose();

    private protected override GenerationResult Compute(long row)
    {
        _getInput ??= mapper.CreateInputGetter(_source);
        GenerationResult? result = null;
        using (GenerationBatch batch = _run.StartBatch(1, (_, ended) => result = ended))
        {
            batch.Start(_getInput(), 0);
            while (batch.IsRunning)
                _run.Step(batch);
        }

        _run.Report(result!, row);
        return result!;
    }

    private protected override GenerationResult Check(GenerationResult result, long row) => _run.Check(result, row);
}
