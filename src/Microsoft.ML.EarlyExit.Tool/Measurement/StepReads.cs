using Microsoft.ML.EarlyExit.Generation;

namespace Microsoft.ML.EarlyExit.Tool.Measurement;

/// <summary>The memory that a later step at full depth reads: it cannot take less time than that at the machine's bandwidth.</summary>
/// <param name="Blocks">Bytes of the decoder blocks' weights.</param>
/// <param name="Head">Bytes of the LM head, or of its screen.</param>
/// <param name="KeysValues">Bytes of the cached keys and values of all rows side by side, at the mean position.</param>
internal readonly record struct StepReads(long Blocks, long Head, double KeysValues)
{
    public double Total => Blocks + Head + KeysValues;

    /// <summary>Of the steps that rows took; null where none took a second.</summary>
    /// <param name="model">The model.</param>
    /// <param name="inputs">The rows.</param>
    /// <param name="results">What was generated from them.</param>
    /// <param name="slots">Rows side by side.</param>
    public static StepReads? Of(EarlyExitModel model, IReadOnlyList<PreparedInput> inputs, IReadOnlyList<GenerationResult> results, int slots)
    {
        // Step t of a row reads its t own positions and those of its encoder; the first is no later one.
        long steps = 0;
        double positions = 0;
        foreach ((PreparedInput input, GenerationResult result) in inputs.Zip(results))
        {
            long tokens = result.TokenIds.Count;
            if (tokens < 2)
                continue;
            steps += tokens - 1;
            positions += (tokens - 1) * (((tokens + 2) / 2.0) + input.TokenIds.Count);
        }

        return steps == 0
            ? null
            : new StepReads(
                FullDepthStep.BlockBytes(model.Bundle), FullDepthStep.HeadBytes(model.Loaded),
                positions / steps * slots * FullDepthStep.PositionBytes(model.Bundle));
    }
}
