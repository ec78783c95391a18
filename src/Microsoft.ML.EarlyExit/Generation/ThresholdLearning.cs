using System.Numerics.Tensors;
using Microsoft.ML.EarlyExit.Exit;
using Microsoft.ML.EarlyExit.Exit.Thresholds;
using Microsoft.ML.EarlyExit.Model;
using Microsoft.ML.EarlyExit.Runtime;

namespace Microsoft.ML.EarlyExit.Generation;

/// <summary>
/// Learns the threshold of <see cref="ShallowDeep.AdaptiveThreshold"/> while text is generated: notes each row's shallow tokens, compares them with the full
/// model's where the deep blocks run, and adapts the threshold at the end of a batch.
/// </summary>
internal sealed class ThresholdLearning(ExitPlan plan, DecoderBatch decoder, HeadProducts products, OperationCosts costs, int vocabularySize)
{
    private readonly AdaptiveThreshold _threshold = new(plan.FirstThreshold);

    /// <summary>The threshold of the batch at hand.</summary>
    public float Threshold => _threshold.Current;

    /// <summary>Notes whether the shallow tokens that the deep blocks have run for are the full model's.</summary>
    public void Compare(int slot, TokenState state, DecodingRow row)
    {
        TokenComparisons comparisons = row.Comparisons;
        int earlier = comparisons.PendingCount - 1;
        if (earlier > 0 && plan.StatePropagation == StatePropagation.ParallelDecoding)
        {
            for (int start = 0, count; start < earlier; start += count)
            {
                count = Math.Min(HeadProducts.LargestProduct, earlier - start);
                products.ComputeMany(decoder.States(slot, row.TokenCount - earlier + start, count), count);
                for (int index = 0; index < count; index++)
                {
                    row.Count(costs.ConfidenceProduct(vocabularySize));
                    comparisons.Add(start + index, TensorPrimitives.IndexOfMax<float>(products.OneOfMany(index, row, plan.LastLayer)));
                }
            }
        }

        comparisons.Add(earlier, TensorPrimitives.IndexOfMax<float>(state.Logits.Values));
        comparisons.End();
    }

    /// <summary>Adapts the threshold to what the rows of a batch have told, given in their order.</summary>
    public void Learn(IEnumerable<DecodingRow> rows)
    {
        foreach ((float confidence, bool agreed) in rows.SelectMany(row => row.Comparisons.Pairs))
            _threshold.Add(confidence, agreed);
        _threshold.Update();
    }
}
