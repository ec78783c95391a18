namespace Microsoft.ML.EarlyExit.Model.Bundle;

/// <summary>
/// The names that graphs of a bundle and the runtime agree on. All hidden states are raw residual streams, before any norm.
/// </summary>
/// <remarks>
/// A decoder block takes <c>rows</c> running rows out of <c>slots</c> slots of the caches, and for each the next <c>positions</c> tokens (more than one
/// only where there is one slot):
/// <list type="bullet">
/// <item><c>hidden</c> [rows, positions, d] → <c>hidden_out</c>, the same.</item>
/// <item><c>row_slots</c> int64 [rows]: the slot of each row; <c>slot_rows</c> int64 [slots]: the row in each slot, any where the slot does not run.</item>
/// <item><c>self_keys</c>, <c>self_values</c> [slots, heads, self_capacity, head] → <c>present_self_keys</c>, <c>present_self_values</c>, the same
/// memory. Entry 0 of a slot is written by runs the slot takes no part in and masked, so it must be finite; token t lies at entry t + 1.</item>
/// <item><c>self_lengths</c> int32 [slots]: entries of the slot including the new ones, less one; 0 where the slot does not run, which then costs
/// next to nothing. <c>self_capacity</c> int32 scalar. <c>self_bias</c> [slots, heads, positions, self_capacity] is added to the scores.</item>
/// <item><c>cross_keys</c>, <c>cross_values</c>, <c>cross_lengths</c>, <c>cross_capacity</c>, <c>cross_bias</c> [slots, 1, positions, cross_capacity]: the
/// same for the encoder's positions, at entries 1 to S; the entries after them are scratch of the run and masked by the bias.</item>
/// </list>
/// <c>state_keys_values</c>: <c>hidden</c> [positions, d] → <c>keys_values</c> [positions, 2 · heads · head], self-attention keys then values, for state
/// copying. <c>cross_keys_values</c>: the same from the encoder's output.
/// </remarks>
internal static class GraphContract
{
    public const int IrVersion = 11;

    /// <summary>The version of ONNX's own operators.</summary>
    public const int OpsetVersion = 23;

    /// <summary>The domain of ONNX Runtime's operators, of which there is version 1.</summary>
    public const string ContribDomain = "com.microsoft";

    public const int ContribVersion = 1;

    /// <summary>The operator, of ONNX Runtime's, for attention over caches.</summary>
    public const string CachedAttention = "GroupQueryAttention";

    public const string Hidden = "hidden";
    public const string HiddenOut = "hidden_out";
    public const string RowSlots = "row_slots";
    public const string SlotRows = "slot_rows";
    public const string SelfBias = "self_bias";
    public const string SelfLengths = "self_lengths";
    public const string SelfCapacity = "self_capacity";
    public const string SelfKeys = "self_keys";
    public const string SelfValues = "self_values";
    public const string PresentSelfKeys = "present_self_keys";
    public const string PresentSelfValues = "present_self_values";
    public const string CrossBias = "cross_bias";
    public const string CrossLengths = "cross_lengths";
    public const string CrossCapacity = "cross_capacity";
    public const string CrossKeys = "cross_keys";
    public const string CrossValues = "cross_values";
    public const string PresentCrossKeys = "present_cross_keys";
    public const string PresentCrossValues = "present_cross_values";
    public const string KeysValues = "keys_values";
    public const string InputIds = "input_ids";
    public const string AttentionMask = "attention_mask";
    public const string EncoderOutput = "encoder_hidden_states";
    public const string DecoderInputIds = "decoder_input_ids";
    public const string EncoderAttentionMask = "encoder_attention_mask";

    /// <summary>Node names ending so only move rows between slots and rows; they are left out where both are the same.</summary>
    public const string RowSelectionSuffix = "/row_selection";

    /// <summary>
    /// Ends the names of nodes that give a weight, which is stored in fewer bits, as a product takes it; they are omitted where it is given in single precision.
    /// </summary>
    public const string WidenedSuffix = "/widened";

    /// <summary>Ends the names of nodes that multiply a weight's numbers by their scales; a node that widens reads them.</summary>
    public const string DequantizedSuffix = "/dequantized";

    /// <summary>Added to a score that must not count: far below any real one, and its sum with a bias stays finite.</summary>
    public const float Masked = -1e30f;

    /// <summary>The caches' inputs of a block and the outputs that are the same memory.</summary>
    public static IReadOnlyList<(string Past, string Present)> Caches { get; } =
    [
        (SelfKeys, PresentSelfKeys), (SelfValues, PresentSelfValues), (CrossKeys, PresentCrossKeys), (CrossValues, PresentCrossValues),
    ];

    /// <summary>The name of a layer's hidden state in the teacher-forced decoder; layer 0 is the embedding.</summary>
    public static string HiddenStates(int layer) => $"hidden_states_{layer}";

    /// <summary>The attention kernel takes head widths that are multiples of 8; others are filled up with zeros, which changes nothing.</summary>
    public static int GraphHeadDimension(int keyValueDimension) => (keyValueDimension + 7) / 8 * 8;
}
