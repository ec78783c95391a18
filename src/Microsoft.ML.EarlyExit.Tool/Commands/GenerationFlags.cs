using System.CommandLine;
using Microsoft.ML.EarlyExit.Model;

namespace Microsoft.ML.EarlyExit.Tool.Commands;

/// <summary>The common fields of an options file as flags, each of which wins over the file.</summary>
internal sealed class GenerationFlags
{
    private const int MostTokens = T5ConfigurationLimits.TokenCount;

    private readonly Option<string?> _prefix = new("--prefix") { Description = "Put before every text, as T5's task names are.", HelpName = "TEXT" };
    private readonly Option<int?> _maxNewTokens = NumberOption.CreateWhole(
        "--max-new-tokens", "After how many tokens a row ends at the latest.", 1, MostTokens);

    private readonly Option<int?> _minNewTokens = NumberOption.CreateWhole("--min-new-tokens", "Before how many tokens a row cannot end.", 0, MostTokens);
    private readonly Option<int?> _maxInputTokens = NumberOption.CreateWhole(
        "--max-input-tokens", "How many tokens an input may have; longer ones are cut.", 1, MostTokens);

    private readonly Option<float?> _repetitionPenalty = NumberOption.CreateReal(
        "--repetition-penalty", "Above 1 makes tokens less likely that were there before.", "above 0", value => value > 0);

    private readonly Option<int?> _noRepeatNgramSize = NumberOption.CreateWhole(
        "--no-repeat-ngram-size", "No run of so many tokens occurs twice; 0 allows all.", 0, MostTokens);

    /// <summary>The flags.</summary>
    public Option[] All => [_prefix, _maxNewTokens, _minNewTokens, _maxInputTokens, _repetitionPenalty, _noRepeatNgramSize];

    /// <summary>Options with what the flags say.</summary>
    public TextGenerationOptions Apply(ParseResult parsed, TextGenerationOptions options)
    {
        if (parsed.GetValue(_prefix) is { } prefix)
            options = options with { Prefix = prefix };
        if (parsed.GetValue(_maxNewTokens) is { } maxNewTokens)
            options = options with { MaxNewTokens = maxNewTokens };
        if (parsed.GetValue(_minNewTokens) is { } minNewTokens)
            options = options with { MinNewTokens = minNewTokens };
        if (parsed.GetValue(_maxInputTokens) is { } maxInputTokens)
            options = options with { MaxInputTokens = maxInputTokens };
        if (parsed.GetValue(_repetitionPenalty) is { } repetitionPenalty)
            options = options with { RepetitionPenalty = repetitionPenalty };
        if (parsed.GetValue(_noRepeatNgramSize) is { } noRepeatNgramSize)
            options = options with { NoRepeatNgramSize = noRepeatNgramSize };
        return options;
    }
}
