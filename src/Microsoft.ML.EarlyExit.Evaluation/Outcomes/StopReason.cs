namespace Microsoft.ML.EarlyExit;

/// <summary>Why the generation of a row ended.</summary>
public enum StopReason
{
    /// <summary>The model generated its end-of-sequence token.</summary>
    EndOfSequence,

    /// <summary>The row reached <c>TextGenerationOptions.MaxNewTokens</c>.</summary>
    MaxNewTokens,

    /// <summary>The row could not be generated, or not to its end; <c>GenerationResult.Error</c> says why.</summary>
    Error,

    /// <summary>The row's text is missing, so nothing was generated; see <c>TextGenerationOptions.MissingTexts</c>.</summary>
    MissingText,
}
