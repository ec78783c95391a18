using System.Text.Json.Serialization;
using Microsoft.ML.EarlyExit.Evaluation.Text;

namespace Microsoft.ML.EarlyExit;

/// <summary>The sizes and conventions of one T5 encoder-decoder, as its checkpoint states them. Immutable.</summary>
public sealed record T5Configuration
{
    [JsonConstructor]
    internal T5Configuration()
    {
    }

    /// <summary>Tokens of the vocabulary, padded rows included: rows of the embedding and of the LM head (<c>vocab_size</c>).</summary>
    [JsonInclude]
    [JsonRequired]
    public int VocabularySize { get; internal init; }

    /// <summary>Width of the residual stream (<c>d_model</c>).</summary>
    [JsonInclude]
    [JsonRequired]
    public int ModelDimension { get; internal init; }

    /// <summary>Width of one attention head (<c>d_kv</c>); heads times this may differ from <see cref="ModelDimension"/>.</summary>
    [JsonInclude]
    [JsonRequired]
    public int KeyValueDimension { get; internal init; }

    /// <summary>Attention heads of every layer (<c>num_heads</c>).</summary>
    [JsonInclude]
    [JsonRequired]
    public int HeadCount { get; internal init; }

    /// <summary>Inner width of the feed-forward layers (<c>d_ff</c>).</summary>
    [JsonInclude]
    [JsonRequired]
    public int FeedForwardDimension { get; internal init; }

    /// <summary>Encoder layers (<c>num_layers</c>).</summary>
    [JsonInclude]
    [JsonRequired]
    public int EncoderLayerCount { get; internal init; }

    /// <summary>Decoder layers, L in the papers (<c>num_decoder_layers</c>, else <c>num_layers</c>).</summary>
    [JsonInclude]
    [JsonRequired]
    public int DecoderLayerCount { get; internal init; }

    /// <summary>Non-linearity of the feed-forward layers.</summary>
    [JsonInclude]
    [JsonRequired]
    public T5Activation Activation { get; internal init; }

    /// <summary>Whether the feed-forward layers multiply the activated projection by a second one (T5 v1.1).</summary>
    [JsonInclude]
    [JsonRequired]
    public bool GatedFeedForward { get; internal init; }

    /// <summary>Buckets of the relative position bias (<c>relative_attention_num_buckets</c>).</summary>
    [JsonInclude]
    [JsonRequired]
    public int RelativeAttentionBucketCount { get; internal init; }

    /// <summary>Distance from which on all positions share the last bucket (<c>relative_attention_max_distance</c>).</summary>
    [JsonInclude]
    [JsonRequired]
    public int RelativeAttentionMaxDistance { get; internal init; }

    /// <summary>Added to the mean square in every norm (<c>layer_norm_epsilon</c>).</summary>
    [JsonInclude]
    [JsonRequired]
    public float LayerNormEpsilon { get; internal init; }

    /// <summary>Whether the LM head's input is multiplied by <c>d_model^-0.5</c>.</summary>
    [JsonInclude]
    [JsonRequired]
    public bool ScaleDecoderOutputs { get; internal init; }

    /// <summary>The id that fills up batches (<c>pad_token_id</c>).</summary>
    [JsonInclude]
    [JsonRequired]
    public int PadTokenId { get; internal init; }

    /// <summary>The id that ends a sequence (<c>eos_token_id</c>).</summary>
    [JsonInclude]
    [JsonRequired]
    public int EndOfSequenceTokenId { get; internal init; }

    /// <summary>The id the decoder starts from (<c>decoder_start_token_id</c>).</summary>
    [JsonInclude]
    [JsonRequired]
    public int DecoderStartTokenId { get; internal init; }

    /// <summary>
    /// The checkpoint's own limit of generated tokens: <c>max_new_tokens</c> of its generation configuration, else <c>max_length - 1</c>; null where it states
    /// neither.
    /// </summary>
    [JsonInclude]
    public int? MaxNewTokens { get; internal init; }

    /// <summary>
    /// Before how many generated tokens a row does not end unless options say otherwise: <c>min_new_tokens</c> of the checkpoint's generation configuration,
    /// else <c>min_length - 1</c>; null where that is 0 or not stated.
    /// </summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    [JsonInclude]
    public int? MinNewTokens { get; internal init; }

    /// <summary>The repetition penalty unless options say otherwise (<c>repetition_penalty</c>); null where that is 1 or not stated.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    [JsonInclude]
    public float? RepetitionPenalty { get; internal init; }

    /// <summary>Of which length no run of ids occurs twice unless options say otherwise (<c>no_repeat_ngram_size</c>); null where that is 0 or not
    /// stated.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    [JsonInclude]
    public int? NoRepeatNgramSize { get; internal init; }

    /// <summary>The values by their names, alike in every culture.</summary>
    /// <returns>One line of text.</returns>
    public override string ToString() => MemberText.Of(this);

    /// <summary>Heads times head width: the inner width of the attention layers.</summary>
    internal int InnerDimension => HeadCount * KeyValueDimension;

    /// <summary>The factor on the LM head's input: <c>d_model^-0.5</c> or 1.</summary>
    internal float HeadScale => ScaleDecoderOutputs ? 1f / MathF.Sqrt(ModelDimension) : 1f;
}
