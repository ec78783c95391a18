namespace Microsoft.ML.EarlyExit.Generation;

/// <summary>The ids of a row's target, without the decoder start token, checked; or why there are none.</summary>
internal readonly record struct PreparedTarget(int[] TokenIds, int CutTokens, string? Error)
{
    /// <summary>Reads a target: a text, which <c>&lt;/s&gt;</c> is added to, or ids exactly as given.</summary>
    /// <param name="target">The target.</param>
    /// <param name="tokenizer">The model's tokenizer; null where it has none.</param>
    /// <param name="configuration">The model's sizes.</param>
    /// <param name="mostTokens">How many ids it may have.</param>
    /// <param name="cuts">What becomes of a longer one: true cuts it to its beginning, false is an error.</param>
    public static PreparedTarget Prepare(GenerationInput target, T5Tokenizer? tokenizer, T5Configuration configuration, int mostTokens, bool cuts)
    {
        IReadOnlyList<int> ids;
        if (target.TokenIds is { } given)
        {
            ids = given;
        }
        else if (target.Text is null)
        {
            return Failed("The target has neither a text nor token ids.");
        }
        else if (tokenizer is null)
        {
            return Failed("The model bundle has no tokenizer: give the target's token ids, or convert the checkpoint again with its spiece.model.");
        }
        else
        {
            try
            {
                ids = tokenizer.Encode(target.Text);
            }
            catch (ArgumentException exception)
            {
                // Absurdly long.
                return Failed(exception.Message);
            }
        }

        int cut = Math.Max(0, ids.Count - mostTokens);
        if (cut > 0 && !cuts)
            return Failed($"The target has {ids.Count} tokens, more than MaxNewTokens, which is {mostTokens}. Shorten it, or raise MaxNewTokens.");
        int[] kept = [.. ids.Take(mostTokens)];
        return Check(kept, configuration) is { } error ? Failed(error) : new PreparedTarget(kept, cut, null);
    }

    /// <summary>What is wrong with a target's ids; null where nothing is.</summary>
    public static string? Check(ReadOnlySpan<int> ids, T5Configuration configuration)
    {
        if (ids.IsEmpty)
            return "The target has no token ids; give at least the end-of-sequence id.";
        int outside = ids.IndexOfAnyExceptInRange(0, configuration.VocabularySize - 1);
        return outside < 0
            ? null
            : $"Token id {ids[outside]} at position {outside} of the target is outside the vocabulary, which has ids 0 to {configuration.VocabularySize - 1}.";
    }

    private static PreparedTarget Failed(string error) => new([], 0, error);
}
