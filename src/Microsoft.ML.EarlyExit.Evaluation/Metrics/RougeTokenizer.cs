namespace Microsoft.ML.EarlyExit;

/// <summary>What ROUGE takes for the words of a text.</summary>
public enum RougeTokenizer
{
    /// <summary>
    /// rouge_score's: runs of the letters a to z and digits after lower-casing. Everything else separates them, so that "café" is the word "caf", and of a text
    /// in another script nothing is left: it scores 0 against anything, itself included.
    /// </summary>
    Rouge,

    /// <summary>Words of any script; on ASCII texts the same words as <see cref="Rouge"/>.</summary>
    /// <remarks>
    /// <para>
    /// A word is a run of characters of Unicode's categories L (letters), Nd (decimal digits) and Nl (numbers that are letters, such as "Ⅻ"), with the
    /// combining marks (M) that follow them. Chinese characters, Japanese kana and Thai letters are words one by one, each with its marks. U+200C and U+200D,
    /// which join and part letters inside a word, are left out; everything else separates words.
    /// </para>
    /// <para>
    /// Each character is put into lower case by itself, by Unicode's simple mapping, and a final "ς" counts as "σ". Texts are not normalised: "é" as one
    /// character and as "e" with an accent are different. Other scripts without spaces (Lao, Khmer, Burmese) have runs for words; chrF needs no words at all.
    /// </para>
    /// </remarks>
    Unicode,
}
