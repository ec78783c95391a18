namespace Microsoft.ML.EarlyExit;

/// <summary>One row to generate from: a text, encoder ids exactly as given, or a text that is missing.</summary>
public readonly struct GenerationInput
{
    private GenerationInput(string? text, IReadOnlyList<int>? tokenIds, bool isMissing = false)
    {
        Text = text;
        TokenIds = tokenIds;
        IsMissing = isMissing;
    }

    /// <summary>A row whose text is missing; <see cref="TextGenerationOptions.MissingTexts"/> says what becomes of it.</summary>
    public static GenerationInput Missing { get; } = new(null, null, isMissing: true);

    /// <summary>The text, or null when the row was given as ids or its text is missing.</summary>
    public string? Text { get; }

    /// <summary>The encoder ids, <c>&lt;/s&gt;</c> included by the caller, or null when the row was given as text.</summary>
    public IReadOnlyList<int>? TokenIds { get; }

    /// <summary>Whether the row's text is missing.</summary>
    public bool IsMissing { get; }

    /// <summary>A row given as text; the options' prefix is put before it and <c>&lt;/s&gt;</c> after it.</summary>
    /// <param name="text">The text; may be empty.</param>
    /// <returns>The row.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="text"/> is null; for a row without a text there is <see cref="Missing"/>.</exception>
    public static GenerationInput FromText(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        return new GenerationInput(text, null);
    }

    /// <summary>A row given as encoder ids; the prefix does not apply and nothing is added.</summary>
    /// <param name="tokenIds">Ids from 0 to the vocabulary size less one; at least one.</param>
    /// <returns>The row.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="tokenIds"/> is null.</exception>
    public static GenerationInput FromTokenIds(IReadOnlyList<int> tokenIds)
    {
        ArgumentNullException.ThrowIfNull(tokenIds);
        return new GenerationInput(null, tokenIds);
    }

    /// <summary>The row to work with: a missing text is the empty one where the options want it so.</summary>
    internal GenerationInput Under(TextGenerationOptions options) =>
        IsMissing && options.MissingTexts == MissingTextHandling.UseEmptyText ? FromText("") : this;
}
