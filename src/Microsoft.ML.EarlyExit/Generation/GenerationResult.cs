using System.Text.Json.Serialization;
using Microsoft.ML.EarlyExit.Evaluation.Text;

namespace Microsoft.ML.EarlyExit;

/// <summary>What was generated for one row.</summary>
public sealed class GenerationResult
{
    // A serializer may read what it has written; nobody else makes results.
    [JsonConstructor]
    internal GenerationResult()
    {
    }

    /// <summary>The generated text without special tokens; null where the bundle has no tokenizer or the row's text is missing.</summary>
    [JsonInclude]
    public string? Text { get; internal init; }

    /// <summary>The generated ids, without the decoder start token and with <c>&lt;/s&gt;</c> when it was generated.</summary>
    [JsonInclude]
    public IReadOnlyList<int> TokenIds { get; internal init; } = [];

    /// <summary>For each generated token the number of decoder blocks that ran for it, 1 to L.</summary>
    [JsonInclude]
    public IReadOnlyList<int> ExitLayers { get; internal init; } = [];

    /// <summary>For each generated token the last confidence computed for it, in [0, 1]; NaN where none was.</summary>
    [JsonNumberHandling(JsonNumberHandling.AllowNamedFloatingPointLiterals)]
    [JsonInclude]
    public IReadOnlyList<float> Confidences { get; internal init; } = [];

    /// <summary>Why the generation ended.</summary>
    [JsonInclude]
    public StopReason StopReason { get; internal init; }

    /// <summary>What went wrong, where <see cref="StopReason"/> is <see cref="StopReason.Error"/>; else null.</summary>
    [JsonInclude]
    public string? Error { get; internal init; }

    /// <summary>Encoder ids that were cut off because the input exceeded <see cref="TextGenerationOptions.MaxInputTokens"/>; 0 where nothing was cut.</summary>
    [JsonInclude]
    public int CutInputTokens { get; internal init; }

    /// <summary>
    /// Floating-point operations of the row's decoding, those of a token that an error cut off included; all 0 for a row that could not begin.
    /// </summary>
    [JsonInclude]
    public OperationCounts Operations { get; internal init; }

    /// <summary>Tokens that were drafted and verified, with <see cref="ExitPolicy.SelfSpeculation"/>; else 0.</summary>
    [JsonInclude]
    public int DraftedTokens { get; internal init; }

    /// <summary>Drafts that the full model chose too; <see cref="ExitLayers"/> has the draft's layer for them, and L for every other token.</summary>
    [JsonInclude]
    public int AcceptedTokens { get; internal init; }

    /// <summary>
    /// Every confidence evaluation of every token and the operations done for it, where <see cref="TextGenerationOptions.Trace"/> asked for it; else null.
    /// </summary>
    [JsonInclude]
    public IReadOnlyList<GenerationStep>? Steps { get; internal init; }

    /// <summary>The values by their names, alike in every culture.</summary>
    /// <returns>One line of text.</returns>
    public override string ToString() => MemberText.Of(this);

    /// <summary>The highest confidence of a token that did not exit where it was evaluated; negative infinity where there was none.</summary>
    internal float HighestStayingConfidence { get; init; } = float.NegativeInfinity;

    /// <summary>The result of a row whose text is missing.</summary>
    internal static GenerationResult Skipped { get; } = new() { StopReason = StopReason.MissingText };

    /// <summary>Whether the error is of the row's input, which was refused before anything ran for it.</summary>
    internal bool IsInputRefused { get; private init; }

    /// <summary>The result of a row for which nothing was generated; its text is empty, or null where no row of the model has one.</summary>
    internal static GenerationResult Failed(string error, bool hasText, bool isInputRefused = false) => new()
    {
        Text = hasText ? "" : null,
        StopReason = StopReason.Error,
        Error = error,
        IsInputRefused = isInputRefused,
    };
}
