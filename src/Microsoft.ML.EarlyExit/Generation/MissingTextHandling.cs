namespace Microsoft.ML.EarlyExit;

/// <summary>What becomes of a row whose text is missing: null in a data view, or <see cref="GenerationInput.Missing"/>.</summary>
public enum MissingTextHandling
{
    /// <summary>Nothing is generated: the row's text is missing too, it has no tokens, and its reason is <see cref="StopReason.MissingText"/>.</summary>
    Skip,

    /// <summary>The text counts as the empty one, from which, with the prefix, a text is generated as from any other.</summary>
    UseEmptyText,
}
