using Microsoft.ML.EarlyExit.Runtime;
using Microsoft.ML.OnnxRuntime;

namespace Microsoft.ML.EarlyExit.Generation;

/// <summary>Encoder outputs of rows that are generated several times, kept as far as they fit into a limit. For one caller at a time.</summary>
/// <param name="model">The model.</param>
/// <param name="largestBytes">The limit; rows beyond it are encoded each time.</param>
internal sealed class EncoderCache(LoadedModel model, long largestBytes) : IDisposable
{
    private readonly Dictionary<long, EncodedInput> _kept = [];
    private long _bytes;

    /// <summary>A row's encoder output; null where it is not kept, and the caller must encode.</summary>
    public EncodedInput? Get(long row, IReadOnlyList<int> tokenIds, RunOptions run)
    {
        if (_kept.TryGetValue(row, out EncodedInput? kept))
            return kept;
        long bytes = (long)tokenIds.Count * model.Configuration.ModelDimension * sizeof(float);
        if (_bytes + bytes > largestBytes)
            return null;
        EncodedInput encoded = EncodedInput.Encode(model.Sessions.Encoder, tokenIds, model.Configuration.ModelDimension, run);
        _kept.Add(row, encoded);
        _bytes += bytes;
        return encoded;
    }

    public void Dispose()
    {
        foreach (EncodedInput encoded in _kept.Values)
            encoded.Dispose();
        _kept.Clear();
    }
}
