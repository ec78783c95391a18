namespace Microsoft.ML.EarlyExit.DataViews;

/// <summary>The results of a live cursor row, whose values change when the cursor moves: each is computed when it is first requested, so that several columns
/// of one row cost one run of the model.</summary>
/// <param name="source">The row.</param>
internal abstract class RowResults<TResult>(DataViewRow source) : IDisposable
    where TResult : class
{
    private TResult? _result;
    private long _position;

    /// <summary>The current row's result.</summary>
    internal TResult Get()
    {
        long position = source.Position;
        if (_result is null || _position != position)
        {
            _result = null;
            _result = Compute(position);
            _position = position;
        }

        return Check(_result, position);
    }

    public abstract void Dispose();

    private protected abstract TResult Compute(long row);

    /// <summary>The result, where there is one to read.</summary>
    /// <exception cref="InvalidOperationException">The row has none.</exception>
    private protected abstract TResult Check(TResult result, long row);
}
