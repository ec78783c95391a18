using Microsoft.ML.EarlyExit.Evaluation.Metrics;

namespace Microsoft.ML.EarlyExit.Calibration;

/// <summary>Whether a loss sees the texts that it compares: what its tokenizer drops is equal to anything.</summary>
internal static class LossTexts
{
    /// <summary>Refuses texts of which a loss sees less than 99 % of the letters.</summary>
    /// <param name="loss">The loss.</param>
    /// <param name="texts">The texts.</param>
    /// <param name="what">What a message calls them.</param>
    /// <exception cref="InvalidOperationException">Its tokenizer drops more than 1 % of their letters.</exception>
    public static void Check(CalibrationLoss loss, IEnumerable<string> texts, string what)
    {
        RougeTextStatistics statistics = Count(loss, texts);
        if (!statistics.DropsTooMuch)
            return;
        string chrf = (loss.NeedsReferences ? CalibrationLoss.ChrfRisk : CalibrationLoss.Chrf).Name;
        throw new InvalidOperationException(
            $"{statistics.DescribeDropped()} of {what}, so the loss {loss.Name} would certify what it cannot see. Take Unicode words "
            + $"(--rouge-tokenizer unicode, CalibrationLoss.WithRougeTokenizer(RougeTokenizer.Unicode)), or the loss {chrf}, which needs no words.");
    }

    /// <summary>What a loss' tokenizer makes of texts; nothing where it has none.</summary>
    public static RougeTextStatistics Count(CalibrationLoss loss, IEnumerable<string> texts)
    {
        var statistics = default(RougeTextStatistics);
        if (loss.RougeTokenizer is { } tokenizer)
        {
            foreach (string text in texts)
                statistics = statistics.Add(text, new RougeRules(UseStemmer: false, tokenizer, SplitSentences: false));
        }

        return statistics;
    }

    /// <summary>What has to be said of a loss that splits at spaces and texts that have none; empty where nothing has.</summary>
    public static string DescribeUnspaced(CalibrationLoss loss, IEnumerable<string> texts)
    {
        if (!loss.SplitsAtSpaces)
            return "";
        long letters = 0;
        long unspaced = 0;
        foreach (string text in texts)
        {
            for (int i = 0, length; i < text.Length; i += length)
            {
                UnicodeWords.Part part = UnicodeWords.Of(text, i, out _, out length);
                letters += part is UnicodeWords.Part.Letter or UnicodeWords.Part.Alone ? 1 : 0;
                unspaced += part is UnicodeWords.Part.Alone ? 1 : 0;
            }
        }

        return 100 * unspaced <= letters
            ? ""
            : FormattableString.Invariant($" {100.0 * unspaced / letters:0.#} %")
                + " of the texts' letters are Chinese, Japanese or Thai, and F1 takes what stands between two spaces for one word: the loss "
                + $"{(loss.NeedsReferences ? CalibrationLoss.ChrfRisk : CalibrationLoss.Chrf).Name} needs no words.";
    }
}
