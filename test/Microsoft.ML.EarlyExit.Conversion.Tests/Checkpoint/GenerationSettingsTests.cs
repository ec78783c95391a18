using System.Text.Json.Nodes;
using Microsoft.ML.EarlyExit.Conversion.Checkpoint;

namespace Microsoft.ML.EarlyExit.Conversion.Tests;

/// <summary>What a checkpoint asks of generation: what is kept, with the meaning it has in transformers, and what is named because it is not.</summary>
public sealed class GenerationSettingsTests
{
    [Theory]
    [InlineData("{}", "{}", null, null, null)]
    [InlineData("{}", """{"min_new_tokens": 12, "repetition_penalty": 1.5, "no_repeat_ngram_size": 3}""", 12, 1.5f, 3)]
    [InlineData("{}", """{"min_length": 25, "max_length": 100}""", 24, null, null)]
    [InlineData("{}", """{"min_length": 1}""", null, null, null)]
    [InlineData("{}", """{"min_length": 25, "min_new_tokens": 7, "max_length": 100}""", 7, null, null)]
    [InlineData("{}", """{"min_length": 25, "min_new_tokens": 0, "max_length": 100}""", null, null, null)]
    [InlineData("{}", """{"min_length": 0, "repetition_penalty": 1.0, "no_repeat_ngram_size": 0}""", null, null, null)]
    [InlineData("{}", """{"min_length": null, "repetition_penalty": null, "no_repeat_ngram_size": null}""", null, null, null)]

    // Older checkpoints have it in config.json, which counts only where there is no other file.
    [InlineData("""{"min_length": 11, "repetition_penalty": 2, "no_repeat_ngram_size": 4}""", null, 10, 2f, 4)]
    [InlineData("""{"min_length": 11, "repetition_penalty": 2, "no_repeat_ngram_size": 4}""", "{}", null, null, null)]
    [InlineData("""{"task_specific_params": {"summarization": {"min_length": 30, "num_beams": 4, "no_repeat_ngram_size": 3}}}""", null, null, null, null)]
    public void Is_kept(string config, string? generation, int? minNewTokens, float? penalty, int? ngram)
    {
        CheckpointConfiguration read = Read(config, generation);
        Assert.Equal((minNewTokens, penalty, ngram), (read.Model.MinNewTokens, read.Model.RepetitionPenalty, read.Model.NoRepeatNgramSize));
        Assert.Empty(read.Warnings);
    }

    [Theory]
    [InlineData("num_beams", "4")]
    [InlineData("num_beam_groups", "2")]
    [InlineData("do_sample", "true")]
    [InlineData("temperature", "0.7")]
    [InlineData("top_k", "10")]
    [InlineData("top_p", "0.9")]
    [InlineData("typical_p", "0.9")]
    [InlineData("penalty_alpha", "0.6")]
    [InlineData("length_penalty", "2.0")]
    [InlineData("early_stopping", "true")]
    [InlineData("early_stopping", "\"never\"")]
    [InlineData("suppress_tokens", "[19]")]
    [InlineData("begin_suppress_tokens", "[19]")]
    [InlineData("forced_bos_token_id", "0")]
    [InlineData("forced_eos_token_id", "1")]
    [InlineData("bad_words_ids", "[[5,6]]")]
    [InlineData("sequence_bias", "[[[5],-1.0]]")]
    [InlineData("num_return_sequences", "3")]
    [InlineData("encoder_repetition_penalty", "1.2")]
    [InlineData("encoder_no_repeat_ngram_size", "2")]
    [InlineData("stop_strings", "[\"x\"]")]
    [InlineData("guidance_scale", "1.5")]
    [InlineData("exponential_decay_length_penalty", "[5,1.1]")]
    public void Is_named_where_it_is_not_supported(string field, string value)
    {
        string json = $$"""{"{{field}}": {{value}}}""";
        string warning = Assert.Single(Read("{}", json).Warnings);
        Assert.Contains($"{field} = {value}", warning);
        Assert.Contains("generation_config.json", warning);

        string older = Assert.Single(Read(json, null).Warnings);
        Assert.Contains($"{field} = {value}", older);
        Assert.DoesNotContain("generation_config.json", older);
        Assert.Empty(Read(json, "{}").Warnings);
    }

    [Fact]
    public void What_this_version_does_not_know_is_named_in_the_file_of_its_kind_only()
    {
        Assert.Contains("alchemy = 3", Assert.Single(Read("{}", """{"alchemy": 3}""").Warnings));
        Assert.Empty(Read("""{"alchemy": 3}""", null).Warnings);
    }

    [Fact]
    public void What_changes_nothing_is_not_named()
    {
        const string Neutral =
            """
            {"_from_model_config": true, "transformers_version": "4.57.6", "decoder_start_token_id": 0, "eos_token_id": 1, "pad_token_id": 0, "bos_token_id": 2,
             "num_beams": 1, "num_beam_groups": 1, "do_sample": false, "temperature": 1.0, "top_k": 50, "top_p": 1, "typical_p": 1.0, "epsilon_cutoff": 0.0,
             "eta_cutoff": 0.0, "diversity_penalty": 0.0, "length_penalty": 1.0, "early_stopping": false, "num_return_sequences": 1, "penalty_alpha": null,
             "encoder_repetition_penalty": 1.0, "encoder_no_repeat_ngram_size": 0, "bad_words_ids": null, "suppress_tokens": [], "sequence_bias": {}, "use_cache": true,
             "output_scores": true, "return_dict_in_generate": true, "renormalize_logits": true, "max_length": 20, "min_length": 0, "repetition_penalty": 1.0,
             "no_repeat_ngram_size": 0, "forced_eos_token_id": null, "alchemy": null}
            """;
        Assert.Empty(Read("{}", Neutral).Warnings);
        Assert.Empty(Read(Neutral, null).Warnings);
    }

    [Fact]
    public void A_minimum_above_the_maximum_is_named()
    {
        Assert.Contains("at least 50", Assert.Single(Read("{}", """{"min_new_tokens": 50, "max_new_tokens": 40}""").Warnings));
        Assert.Contains("128", Assert.Single(Read("{}", """{"min_new_tokens": 200}""").Warnings));
        Assert.Empty(Read("{}", """{"min_length": 41, "max_length": 41}""").Warnings);
    }

    [Theory]
    [InlineData("min_new_tokens", "-1")]
    [InlineData("min_length", "1048578")]
    [InlineData("min_length", "\"5\"")]
    [InlineData("repetition_penalty", "0")]
    [InlineData("repetition_penalty", "-1.5")]
    [InlineData("repetition_penalty", "1e300")]
    [InlineData("repetition_penalty", "true")]
    [InlineData("no_repeat_ngram_size", "-1")]
    [InlineData("no_repeat_ngram_size", "2.5")]
    public void Absurd_values_are_refused(string field, string value)
    {
        string message = Assert.Throws<InvalidModelException>(() => Read("{}", $$"""{"{{field}}": {{value}}}""")).Message;
        Assert.Contains("generation_config.json", message);
        Assert.Contains(field, message);
    }

    [Fact]
    public void A_name_that_is_no_text_is_refused() =>
        Assert.Contains("generation_config.json", Assert.Throws<InvalidModelException>(() => Read("{}", """{"\ud800": 1}""")).Message);

    [Fact]
    public void Long_values_are_shortened() =>
        Assert.InRange(Assert.Single(Read("{}", $$"""{"suppress_tokens": [{{string.Join(',', Enumerable.Range(0, 5000))}}]}""").Warnings).Length, 100, 600);

    private static CheckpointConfiguration Read(string changes, string? generation)
    {
        var tiny = new TinyCheckpoint();
        foreach ((string name, JsonNode? value) in JsonNode.Parse(changes)!.AsObject())
        {
            tiny.Config[name] = value?.DeepClone();
        }

        using var folder = new TemporaryFolder();
        File.WriteAllText(folder.File("config.json"), tiny.Config.ToJsonString());
        if (generation is not null)
        {
            File.WriteAllText(folder.File("generation_config.json"), generation);
        }

        return T5ConfigurationReader.Read(folder.Path);
    }
}
