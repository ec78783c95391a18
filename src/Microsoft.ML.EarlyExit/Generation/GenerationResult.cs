using System.Text.Json.Serialization;

namespace Microsoft.ML.EarlyExit;

/// <summary>What was generated for one row.</summary>
public sealed class GenerationResult
{
    /// <summary>The generated text without special tokens; null where the bundle has no tokenizer or the row's text is missing.</summary>
    public string? Text { get; init; }

    /// <summary>The generated ids, without the decoder start token and with <c>&lt;/s&gt;</c> when it was generated.</summary>
    public required IReadOnlyList<int> TokenIds { get; init; }

    /// <summary>For each generated token the number of decoder blocks that ran for it, 1 to L.</summary>
    public required IReadOnlyList<int> ExitLayers { get; init; }

    /// <summary>For each generated token the last confidence computed for it, in [0, 1]; NaN where none was.</summary>
    [JsonNumberHandling(JsonNumberHandling.AllowNamedFloatingPointLiterals)]
    public required IReadOnlyList<float> Confidences { get; init; }

    /// <summary>Why the generation ended.</summary>
    public required StopReason StopReason { get; init; }

    /// <summary>What went wrong, where <see cref="StopReason"/> is <see cref="StopReason.Error"/>; else null.</summary>
    public string? Error { get; init; }

    /// <summary>Encoder ids that were cut off because the input exceeded <see cref="TextGenerationOptions.MaxInputTokens"/>; 0 where nothing was cut.</summary>
    public int CutInputTokens { get; init; }

    /// <summary>
    /// Floating-point operations of the row's decoding, those of a token that an error cut off included; all 0 for a row that could not begin.
    /// </summary>
    public OperationCounts Operations { get; init; }

    /// <summary>Tokens that were drafted and verified, with <see cref="ExitPolicy.SelfSpeculation"/>; else 0.</summary>
    public int DraftedTokens { get; init; }

    /// <summary>Drafts that the full model chose too; <see cref="ExitLayers"/> has the draft's layer for them, and L for every other token.</summary>
    public int AcceptedTokens { get; init; }

    /// <summary>Every confidence evaluation of every token and the operations done for it, where <see cref="TextGenerationOptions.Trace"/> asked for it; else null.</summary>
    public IReadOnlyList<GenerationStep>? Steps { get; init; }

    /// <summary>The values by their names, alike in every culture.</summary>
    /// <returns>One line of text.</returns>
    public override string ToString() => MemberText.Of(this);

    /// <summary>The highest confidence of a token that had to stay where it was asked; negative infinity where none had to.</summary>
    internal float HighestStayingConfidence { get; init; } = float.NegativeInfinity;

    /// <summary>The result of a row whose text is missing.</summary>
    internal static GenerationResult Skipped { get; } = new() { TokenIds = [], ExitLayers = [], Confidences = [], StopReason = StopReason.MissingText };

    /// <summary>The result of a row for which nothing was generated; its text is empty, or null where no row of the model has one.</summary>
    internal static GenerationResult Failed(string error, bool hasText) => new()
    {
        Text = hasText ? "" : null,
        TokenIds = [],
        ExitLayers = [],
        Confidences = [],
        StopReason = StopReason.Error,
        Error = error,
    };
}
