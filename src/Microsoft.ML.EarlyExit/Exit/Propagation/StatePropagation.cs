namespace Microsoft.ML.EarlyExit;

/// <summary>
/// Where the layers that a token skipped get its self-attention keys and values from. Later tokens that go deeper read them there; a layer that no later
/// token of the row reaches never computes any.
/// </summary>
/// <remarks>
/// <c>h^l</c> is the hidden state with which the token exited after <c>l</c> blocks, and <c>i &gt; l</c> a deeper layer with its own norm <c>LN_i</c> and
/// projections <c>Wk_i</c> and <c>Wv_i</c>.
/// </remarks>
public enum StatePropagation
{
    /// <summary>
    /// The state is copied: <c>K_i = Wk_i · LN_i(h^l)</c>, <c>V_i = Wv_i · LN_i(h^l)</c>. Two projections instead of a block, for all missing positions at
    /// once; an approximation of what the skipped blocks would have given.
    /// Source: CALM, arXiv 2207.07061.
    /// </summary>
    StateCopy,

    /// <summary>
    /// The skipped blocks run after all, together with the later token that needs them: with <c>h^i = Block_i(h^{i-1})</c>, <c>K_i = Wk_i · LN_i(h^{i-1})</c>,
    /// <c>V_i = Wv_i · LN_i(h^{i-1})</c>, causal among the positions. They are those of the full model over the same tokens, but for rounding, so a token that
    /// runs all layers is chosen as the full model would choose it after the same text. A block costs more than two projections, but reads its weights once for
    /// the missing positions of all rows of a batch; on a GPU rows that lack positions run one after another.
    /// Source: FREE, arXiv 2310.05424 ("synchronized parallel decoding").
    /// </summary>
    ParallelDecoding,
}
