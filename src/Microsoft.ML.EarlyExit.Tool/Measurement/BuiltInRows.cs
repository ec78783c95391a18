using Microsoft.ML.EarlyExit.Tool.Rows;

namespace Microsoft.ML.EarlyExit.Tool.Measurement;

/// <summary>Rows for those who bring none: texts where the model has a tokenizer, else ids.</summary>
internal static class BuiltInRows
{
    /// <summary>Tokens to generate for each: where a model ends its answers to such rows says nothing.</summary>
    public const int TokensPerRow = 32;

    private const int IdsPerRow = 128;
    private const int FirstOrdinaryId = 3;
    private const int Seed = 1;

    private static readonly string[] s_texts =
    [
        "Translate to German: How old are you, and where did you grow up?",
        "summarize: The council met on Tuesday evening to decide about the old railway bridge. Engineers had warned for years that its piers were worn, and the "
            + "repair would cost more than a new one. Residents of the eastern quarter spoke against closing it, since their way to school and work would take "
            + "half an hour longer. In the end the council voted for a new bridge beside the old one, which stays open to walkers until the work is done.",
        "What is the capital of Australia?",
        "question: When was the lighthouse automated? context: The lighthouse was built in 1871 of local granite. Three keepers lived there with their families "
            + "until it was automated in 1984, and the houses have been a museum since.",
        "Describe in one sentence a small Italian restaurant by the river that is cheap and welcomes children.",
        "Is this review positive or negative? The battery lasts two days, the screen is bright even in the sun, and it arrived a week early.",
        "Write a short answer: why is the sky blue during the day and red in the evening?",
        "Complete the sentence: If the last train has already left, then",
    ];

    /// <summary>Rows, the same every time: as many as are wanted, or more.</summary>
    /// <param name="model">The model.</param>
    /// <param name="count">How many are wanted.</param>
    public static IEnumerable<GenerationRow> For(EarlyExitModel model, int count)
    {
        count = Math.Max(count, s_texts.Length);
        if (model.Tokenizer is not null)
            return Enumerable.Range(0, count).Select(row => GenerationRow.FromText(s_texts[row % s_texts.Length]));
        int vocabulary = model.Configuration.VocabularySize;
        int first = Math.Min(FirstOrdinaryId, vocabulary - 1);
        var random = new Random(Seed);
        return Enumerable.Range(0, count).Select(_ => new GenerationRow(
            0, GenerationRow.NullId, default,
            GenerationInput.FromTokenIds(
                [.. Enumerable.Range(1, IdsPerRow - 1).Select(_ => random.Next(first, vocabulary)), model.Configuration.EndOfSequenceTokenId]),
            null));
    }
}
