using System.Text.Json.Serialization;

namespace Microsoft.ML.EarlyExit;

/// <summary>A token as it is generated.</summary>
/// <param name="TokenId">Its id.</param>
/// <param name="TextDelta">The text it adds; whole characters, and empty for special tokens or where the bundle has no tokenizer.</param>
/// <param name="ExitLayer">Decoder blocks that ran for it, 1 to L.</param>
/// <param name="Confidence">The last confidence computed for it, in [0, 1]; NaN where none was.</param>
/// <param name="StopReason">Why the generation ended, at the last token; null before it.</param>
public readonly record struct GeneratedToken(
    int TokenId,
    string TextDelta,
    int ExitLayer,
    [property: JsonNumberHandling(JsonNumberHandling.AllowNamedFloatingPointLiterals)] float Confidence,
    StopReason? StopReason)
{
    /// <summary>The values by their names, alike in every culture.</summary>
    /// <returns>One line of text.</returns>
    public override string ToString() => MemberText.Of(this);
}
