namespace Microsoft.ML.EarlyExit.Generation;

/// <summary>A row's encoder ids, checked and cut to size; or why there are none.</summary>
internal readonly record struct PreparedInput(IReadOnlyList<int> TokenIds, int CutTokens, string? Error)
{
    /// <summary>Whether there are none because the text is missing.</summary>
    public bool IsMissing { get; private init; }

    public static PreparedInput Prepare(GenerationInput input, T5Tokenizer? tokenizer, T5Configuration configuration, TextGenerationOptions options)
    {
        input = input.Under(options);
        if (input.IsMissing)
            return Failed("The text is missing; leave the row out, or set MissingTexts to UseEmptyText.") with { IsMissing = true };
        IReadOnlyList<int> ids;
        if (input.TokenIds is { } given)
        {
            ids = given;
            if (ids.Count == 0)
                return Failed("The input has no token ids; give at least the end-of-sequence id.");
        }
        else if (input.Text is null)
        {
            return Failed("The input has neither a text nor token ids; make it with GenerationInput.FromText or FromTokenIds.");
        }
        else if (tokenizer is null)
        {
            return Failed("The model bundle has no tokenizer: give token ids, or convert the checkpoint again with its spiece.model.");
        }
        else
        {
            try
            {
                ids = tokenizer.Encode(options.Prefix + input.Text);
            }
            catch (ArgumentException exception)
            {
                // Absurdly long.
                return Failed(exception.Message);
            }
        }

        // Also those of a text: a tokenizer may have more ids than the model.
        for (int index = 0; index < ids.Count; index++)
        {
            if ((uint)ids[index] >= (uint)configuration.VocabularySize)
                return Failed($"Token id {ids[index]} at position {index} is outside the vocabulary, which has ids 0 to {configuration.VocabularySize - 1}.");
        }

        int cut = ids.Count - options.MaxInputTokens;
        if (cut <= 0)
            return new PreparedInput(ids, 0, null);
        if (!options.Truncate)
        {
            return Failed(
                $"The input has {ids.Count} tokens, more than MaxInputTokens, which is {options.MaxInputTokens}. "
                + "Shorten it, raise MaxInputTokens, or set Truncate.");
        }

        return new PreparedInput([.. ids.Take(options.MaxInputTokens - 1), configuration.EndOfSequenceTokenId], cut, null);
    }

    private static PreparedInput Failed(string error) => new([], 0, error);
}
