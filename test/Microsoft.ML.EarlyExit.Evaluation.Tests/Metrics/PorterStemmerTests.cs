using System.Text.Json;
using Microsoft.ML.EarlyExit.Evaluation.Metrics;

namespace Microsoft.ML.EarlyExit.Evaluation.Tests;

public sealed class PorterStemmerTests
{
    [Theory]
    [InlineData("stems", 5049)]
    [InlineData("mixed_case_and_non_ascii", 11)]
    public void Equals_NLTK(string set, int count)
    {
        JsonElement words = MetricFixtures.Read("rouge", "porter.json").GetProperty(set);
        Assert.Equal(count, words.GetPropertyCount());
        foreach (JsonProperty word in words.EnumerateObject())
        {
            char[] lower = PythonText.Lower(word.Name).ToCharArray();
            string stem = new(lower, 0, PorterStemmer.Stem(lower));
            Assert.True(word.Value.GetString() == stem, $"'{word.Name}' gives '{stem}', not '{word.Value}'.");
        }
    }

    [Fact]
    public void A_very_long_word_takes_no_longer_than_reading_it_a_few_times()
    {
        char[] word = new char[1_000_000];
        word.AsSpan().Fill('y');
        "ational".CopyTo(word.AsSpan(word.Length - 7));
        Assert.Equal(word.Length - 7, PorterStemmer.Stem(word));
    }
}
