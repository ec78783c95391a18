using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;
using Microsoft.ML.EarlyExit.Model;

namespace Microsoft.ML.EarlyExit.Conversion.Checkpoint;

/// <summary>
/// How a checkpoint asks to be generated from: what a bundle keeps, and in words what it does not. The file is <c>generation_config.json</c>; older
/// checkpoints, which have none, say the same in their <c>config.json</c>.
/// </summary>
internal static class GenerationSettings
{
    /// <summary>Fields that change what transformers generates, with the values that change nothing; null always means that, as do false and empty
    /// lists.</summary>
    private static readonly Dictionary<string, double?> Unsupported = new()
    {
        ["do_sample"] = null, ["temperature"] = 1, ["top_k"] = 50, ["top_p"] = 1, ["min_p"] = 0, ["top_h"] = null, ["typical_p"] = 1, ["epsilon_cutoff"] = 0,
        ["eta_cutoff"] = 0, ["num_beams"] = 1, ["num_beam_groups"] = 1, ["diversity_penalty"] = 0, ["length_penalty"] = 1, ["early_stopping"] = null,
        ["num_return_sequences"] = 1, ["penalty_alpha"] = 0, ["dola_layers"] = null, ["encoder_repetition_penalty"] = 1, ["encoder_no_repeat_ngram_size"] = 0,
        ["bad_words_ids"] = null, ["force_words_ids"] = null, ["constraints"] = null, ["forced_bos_token_id"] = null, ["forced_eos_token_id"] = null,
        ["forced_decoder_ids"] = null, ["suppress_tokens"] = null, ["begin_suppress_tokens"] = null, ["sequence_bias"] = null,
        ["exponential_decay_length_penalty"] = null, ["guidance_scale"] = 1, ["watermarking_config"] = null, ["token_healing"] = null, ["stop_strings"] = null,
        ["max_time"] = null,
    };

    /// <summary>Fields that are read elsewhere, or that say how to compute and what to return besides the text; a leading underscore marks more of the
    /// kind.</summary>
    private static readonly HashSet<string> WithoutEffect =
    [
        "max_length", "max_new_tokens", "min_length", "min_new_tokens", "repetition_penalty", "no_repeat_ngram_size", "pad_token_id", "eos_token_id",
        "bos_token_id", "decoder_start_token_id", "transformers_version", "task_specific_params", "use_cache", "cache_implementation", "cache_config",
        "return_legacy_cache", "prefill_chunk_size", "low_memory", "renormalize_logits", "remove_invalid_values", "output_attentions", "output_hidden_states",
        "output_scores", "output_logits", "return_dict_in_generate", "is_assistant", "num_assistant_tokens", "num_assistant_tokens_schedule",
        "assistant_confidence_threshold", "prompt_lookup_num_tokens", "max_matching_ngram_size", "assistant_early_exit", "assistant_lookbehind",
        "target_lookbehind", "compile_config", "disable_compile",
    ];

    /// <summary>The configuration with what a bundle keeps.</summary>
    /// <param name="model">The configuration.</param>
    /// <param name="config"><c>config.json</c>.</param>
    /// <param name="generation"><c>generation_config.json</c>, which hides what <c>config.json</c> says; null where there is none.</param>
    /// <param name="warnings">Gets what a bundle does not keep.</param>
    public static T5Configuration Read(T5Configuration model, CheckpointJson config, CheckpointJson? generation, List<string> warnings)
    {
        CheckpointJson file = generation ?? config;
        int most = T5ConfigurationLimits.TokenCount;

        // min_length counts the token the decoder starts from.
        int minNewTokens = file.OptionalInteger("min_new_tokens", 0, most) ?? Math.Max(0, (file.OptionalInteger("min_length", 0, most + 1) ?? 0) - 1);
        float penalty = file.OptionalPositive("repetition_penalty", float.MaxValue) ?? 1;
        int ngram = file.OptionalInteger("no_repeat_ngram_size", 0, most) ?? 0;
        model = model with
        {
            MaxNewTokens = MaxNewTokens(generation) ?? MaxNewTokens(config),
            MinNewTokens = minNewTokens > 0 ? minNewTokens : null,
            RepetitionPenalty = penalty != 1 ? penalty : null,
            NoRepeatNgramSize = ngram > 0 ? ngram : null,
        };
        int maxNewTokens = model.MaxNewTokens ?? TextGenerationOptions.Defaults.MaxNewTokens;
        if (minNewTokens > maxNewTokens)
        {
            warnings.Add(
                $"'{file.Path}' asks for at least {minNewTokens} new tokens, and the most there are is {maxNewTokens}: texts end there, unless options say "
                + "otherwise.");
        }

        string[] unsupported =
            [.. file.Fields.Where(field => IsUnsupported(field.Name, field.Value, generation is not null)).Select(field => Shown(field.Name, field.Value))];
        if (unsupported.Length > 0)
        {
            warnings.Add(
                $"'{file.Path}' asks for {string.Join(", ", unsupported)}, which this version does not do: generation is greedy without it, and texts "
                + "may differ from those of transformers.");
        }

        return model;
    }

    private static int? MaxNewTokens(CheckpointJson? file) =>
        file?.OptionalInteger("max_new_tokens", 1, T5ConfigurationLimits.TokenCount)

        // max_length counts the token the decoder starts from.
        ?? file?.OptionalInteger("max_length", 2, T5ConfigurationLimits.TokenCount + 1) - 1;

    private static bool IsUnsupported(string name, JsonElement value, bool isGenerationFile)
    {
        bool isKnown = Unsupported.TryGetValue(name, out double? neutral);
        if (!isKnown && (!isGenerationFile || WithoutEffect.Contains(name) || name.StartsWith('_')))
        {
            return false;
        }

        return value.ValueKind switch
        {
            JsonValueKind.False => false,
            JsonValueKind.Array => value.GetArrayLength() > 0,
            JsonValueKind.Object => value.EnumerateObject().Any(),
            JsonValueKind.Number => value.GetDouble() != neutral,
            _ => true,
        };
    }

    private static string Shown(string name, JsonElement value) =>
        $"{CheckpointText.Shown(name)} = {CheckpointText.Shown(Encoding.UTF8.GetString(JsonMarshal.GetRawUtf8Value(value)))}";
}
