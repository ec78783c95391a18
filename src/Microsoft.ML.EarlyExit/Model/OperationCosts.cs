namespace Microsoft.ML.EarlyExit.Model;

/// <summary>What each piece of work costs in a model of given sizes: the formulas of <see cref="OperationCounts"/>.</summary>
internal sealed class OperationCosts
{
    private readonly long _width;
    private readonly long _inner;
    private readonly long _keysValues;
    private readonly long _blockProducts;

    public OperationCosts(T5Configuration configuration)
    {
        // The heads' configured width: what a graph pads it with is no work of the model.
        _width = configuration.ModelDimension;
        _inner = configuration.InnerDimension;
        var sizes = new MatrixSizes(configuration, configuration.KeyValueDimension);
        _keysValues = 2 * 2 * sizes.Projection;

        // Cross-attention's keys and values are those of the encoder's output.
        _blockProducts = 2 * (sizes.Attention + (2 * sizes.Projection) + sizes.FeedForward);
    }

    /// <summary>Decoder blocks run for the token at a position, from 0.</summary>
    public OperationCounts Blocks(int count, int position, int encoderLength) =>
        new() { Decoder = count * (_blockProducts + (4 * _inner * (position + 1L)) + (4 * _inner * encoderLength)) };

    /// <summary>The cross-attention keys and values of one layer.</summary>
    public OperationCounts CrossKeysValues(int encoderLength) => new() { Decoder = _keysValues * encoderLength };

    /// <summary>The self-attention keys and values of one layer for tokens that had left before it.</summary>
    public OperationCounts StateCopies(int positions) => new() { StatePropagation = _keysValues * positions };

    /// <summary>A product with rows of the head, made for a confidence.</summary>
    public OperationCounts ConfidenceProduct(int rows) => new() { Confidence = HeadProduct(rows) };

    /// <summary>A product with rows of the head, made to choose the token.</summary>
    public OperationCounts ChoiceProduct(int rows) => new() { Head = HeadProduct(rows) };

    /// <summary>What the published code counts for a confidence.</summary>
    public OperationCounts PaperEvaluation(int rows) => new() { Paper = _width * _width * rows };

    private long HeadProduct(int rows) => 2 * _width * rows;
}
