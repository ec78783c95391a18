namespace Microsoft.ML.EarlyExit;

/// <summary>What BLEU takes for the tokens of a text: tokenizers of sacrebleu 2, and what they are called there.</summary>
public enum BleuTokenizer
{
    /// <summary><c>13a</c>, sacrebleu's default: that of NIST's mteval-v13a, for Western languages.</summary>
    V13a,

    /// <summary><c>intl</c>: mteval-v14's international one, which sets apart Unicode's symbols, and its punctuation but between digits.</summary>
    Intl,

    /// <summary><c>zh</c>: Chinese characters and marks one by one, the rest as <see cref="V13a"/>.</summary>
    Zh,

    /// <summary><c>char</c>: every character that is not white space.</summary>
    Char,

    /// <summary><c>none</c>: what white space separates; for texts that were tokenized before.</summary>
    None,
}
