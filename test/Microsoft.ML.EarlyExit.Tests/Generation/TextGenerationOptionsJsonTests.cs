using FsCheck.Xunit;
using Microsoft.ML.EarlyExit.Generation;

namespace Microsoft.ML.EarlyExit.Tests;

public class TextGenerationOptionsJsonTests
{
    [Fact]
    public void An_empty_object_is_the_default() => Assert.Equal(new TextGenerationOptions(), TextGenerationOptionsJson.Parse("{}", "o.json"));

    [Fact]
    public void The_documented_defaults_are_the_default()
    {
        const string Json =
            """
            { "prefix": "", "maxNewTokens": null, "minNewTokens": null, "maxInputTokens": 512, "truncate": true, "repetitionPenalty": null,
              "noRepeatNgramSize": null, "encoderMemoryMB": null }
            """;
        Assert.Equal(new TextGenerationOptions(), TextGenerationOptionsJson.Parse(Json, "o.json"));
    }

    [Fact]
    public void Every_field_is_read()
    {
        const string Json =
            """
            { "prefix": "d\u00e9crire: ", "maxNewTokens": 20, "minNewTokens": 3, "maxInputTokens": 64, "truncate": false, "repetitionPenalty": 1.2,
              "noRepeatNgramSize": 4, "encoderMemoryMB": 1500 }
            """;
        var expected = new TextGenerationOptions
        {
            Prefix = "décrire: ",
            MaxNewTokens = 20,
            MinNewTokens = 3,
            MaxInputTokens = 64,
            Truncate = false,
            RepetitionPenalty = 1.2f,
            NoRepeatNgramSize = 4,
            EncoderMemoryMB = 1500,
        };
        Assert.Equal(expected, TextGenerationOptionsJson.Parse(Json, "o.json"));
    }

    [Theory]
    [InlineData("""{ "batchSize": 4 }""", "batchSize", "unknown")]
    [InlineData("""{ "maxNewTokens": 0 }""", "maxNewTokens", "0", "1 to 1048576")]
    [InlineData("""{ "maxInputTokens": 2000000 }""", "maxInputTokens", "2000000", "1 to 1048576")]
    [InlineData("""{ "minNewTokens": -1 }""", "minNewTokens", "-1")]
    [InlineData("""{ "repetitionPenalty": 0 }""", "repetitionPenalty", "above 0")]
    [InlineData("""{ "noRepeatNgramSize": true }""", "noRepeatNgramSize", "true")]
    [InlineData("""{ "truncate": 1 }""", "truncate", "true or false")]
    [InlineData("""{ "prefix": null }""", "prefix", "string")]
    [InlineData("""{ "operations": true }""", "operations", "unknown")]
    [InlineData("""{ "truncate": false, "truncate": false }""", "truncate", "twice")]
    public void What_cannot_be_is_refused_by_name(string json, params string[] said)
    {
        string message = Assert.Throws<InvalidDataException>(() => TextGenerationOptionsJson.Parse(json, "options.json")).Message;

        Assert.StartsWith("options.json", message, StringComparison.Ordinal);
        Assert.All(said, part => Assert.Contains(part, message, StringComparison.Ordinal));
    }

    [Property]
    public void What_is_written_is_read_as_the_same(
        string? prefix, byte? maxNewTokens, byte? minNewTokens, byte maxInputTokens, bool truncate, byte? penalty, byte? ngram)
    {
        // JSON has no lone surrogates.
        string text = new((prefix ?? "").Where(character => !char.IsSurrogate(character)).ToArray());
        var options = new TextGenerationOptions
        {
            Prefix = text,
            MaxNewTokens = maxNewTokens + 1,
            MinNewTokens = minNewTokens,
            MaxInputTokens = maxInputTokens + 1,
            Truncate = truncate,
            RepetitionPenalty = (penalty + 1) / 100f,
            NoRepeatNgramSize = ngram,
        };

        Assert.Equal(options, TextGenerationOptionsJson.Parse(TextGenerationOptionsJson.Write(options), "o"));
    }
}
