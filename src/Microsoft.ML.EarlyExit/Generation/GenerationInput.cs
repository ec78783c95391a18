namespace Microsoft.ML.EarlyExit;

/// <summary>One row to generate from: a text, or encoder ids exactly as given.</summary>
public readonly struct GenerationInput
{
    private GenerationInput(string? text, IReadOnlyList<int>? tokenIds)
    {
        Text = text;
        TokenIds = tokenIds;
    }

    /// <summary>The text, or null when the row was given as ids.</summary>
    public string? Text { get; }

    /// <summary>The encoder ids, <c>&lt;/s&gt;</c> included by the caller, or null when the row was given as text.</summary>
    public IReadOnlyList<int>? TokenIds { get; }

    /// <summary>A row given as text; the options' prefix is put before it and <c>&lt;/s&gt;</c> after it.</summary>
    /// <param name="text">The text; may be empty.</param>
    /// <returns>The row.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="text"/> is null.</exception>
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
}
