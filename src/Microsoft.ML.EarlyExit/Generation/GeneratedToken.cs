using System.Text.Json.Serialization;
using Microsoft.ML.EarlyExit.Evaluation.Text;

namespace Microsoft.ML.EarlyExit;

/// <summary>A token as it is generated.</summary>
public readonly record struct GeneratedToken
{
    [JsonConstructor]
    internal GeneratedToken(int tokenId, string textDelta, int exitLayer, float confidence, StopReason? stopReason)
    {
        TokenId = tokenId;
        TextDelta = textDelta;
        ExitLayer = exitLayer;
        Confidence = confidence;
        StopReason = stopReason;
    }

    /// <summary>Its id.</summary>
    public int TokenId { get; }

    /// <summary>The text it adds; whole characters, and empty for special tokens or where the bundle has no tokenizer.</summary>
    public string TextDelta { get; }

    /// <summary>Decoder blocks that ran for it, 1 to L.</summary>
    public int ExitLayer { get; }

    /// <summary>The last confidence computed for it, in [0, 1]; NaN where none was.</summary>
    [JsonNumberHandling(JsonNumberHandling.AllowNamedFloatingPointLiterals)]
    public float Confidence { get; }

    /// <summary>Why the generation ended, at the last token; null before it.</summary>
    public StopReason? StopReason { get; }

    /// <summary>The values by their names, alike in every culture.</summary>
    /// <returns>One line of text.</returns>
    public override string ToString() => MemberText.Of(this);
}
