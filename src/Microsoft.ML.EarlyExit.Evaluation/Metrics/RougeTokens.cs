using System.Runtime.InteropServices;
using System.Text;

namespace Microsoft.ML.EarlyExit.Evaluation.Metrics;

/// <summary>A text as ROUGE cuts it: numbers of its words, and where its lines end.</summary>
internal sealed class RougeTokens
{
    // The char in lower case where it belongs to a word, else 0.
    private static readonly char[] s_wordChars =
        [.. Enumerable.Range(0, 128).Select(c => char.IsAsciiLetterOrDigit((char)c) ? char.ToLowerInvariant((char)c) : '\0')];

    private readonly List<int> _ids = [];
    private readonly List<int> _lineEnds = [];

    /// <summary>Numbers of the words.</summary>
    public ReadOnlySpan<int> Ids => CollectionsMarshal.AsSpan(_ids);

    /// <summary>How many lines have words.</summary>
    public int LineCount => _lineEnds.Count;

    /// <summary>How many words the buffers have room for.</summary>
    public int Capacity => _ids.Capacity;

    /// <summary>The words of one of the lines that have any, and where they begin.</summary>
    public ReadOnlySpan<int> Line(int line, out int start)
    {
        start = line == 0 ? 0 : _lineEnds[line - 1];
        return Ids[start.._lineEnds[line]];
    }

    /// <summary>Cuts a text.</summary>
    public void Read(string text, in RougeRules rules, TokenTable tokens)
    {
        _ids.Clear();
        _lineEnds.Clear();
        ReadOnlySpan<char> rest = text;
        do
        {
            int length = rules.SplitSentences ? Sentences.FirstLength(rest) : rest.Length;
            if (rules.Tokenizer == RougeTokenizer.Unicode)
                ReadUnicode(rest[..length], rules.UseStemmer, tokens);
            else
                ReadAscii(rest[..length], rules.UseStemmer, tokens);
            EndLine();
            rest = rest[length..];
        }
        while (!rest.IsEmpty);
    }

    // Words are runs of ASCII letters and digits of the text in Python's lower case; those over three chars may be stemmed.
    private void ReadAscii(ReadOnlySpan<char> text, bool useStemmer, TokenTable tokens)
    {
        char[] wordChars = s_wordChars;
        bool isInWord = false;
        foreach (char c in text)
        {
            char lower = c < wordChars.Length ? wordChars[c] : c switch
            {
                PythonText.KelvinSign => 'k',
                PythonText.CapitalIWithDot => 'i',
                _ => '\0',
            };
            if (lower != 0)
            {
                tokens.Append(lower);
                isInWord = true;
                if (c != PythonText.CapitalIWithDot)
                    continue;
            }

            // The dot above that follows the "i" of U+0130 is no letter: the word ends with it.
            if (isInWord)
            {
                End(useStemmer, tokens);
                isInWord = false;
            }

            if (c == '\n')
                EndLine();
        }

        if (isInWord)
            End(useStemmer, tokens);
    }

    private void ReadUnicode(ReadOnlySpan<char> text, bool useStemmer, TokenTable tokens)
    {
        Span<char> chars = stackalloc char[2];
        bool isInWord = false;
        bool isAlone = false;
        for (int i = 0, length; i < text.Length; i += length)
        {
            UnicodeWords.Part part = UnicodeWords.Of(text, i, out int code, out length);
            if (part == UnicodeWords.Part.Ignored || (part == UnicodeWords.Part.Mark && !isInWord))
                continue;
            if (part == UnicodeWords.Part.Mark)
            {
                tokens.Append(text.Slice(i, length));
                continue;
            }

            bool isWord = part != UnicodeWords.Part.None;
            if (isInWord && (!isWord || isAlone || part == UnicodeWords.Part.Alone))
                End(useStemmer && Ascii.IsValid(tokens.Pending), tokens);
            isInWord = isWord;
            isAlone = part == UnicodeWords.Part.Alone;
            if (isWord)
                tokens.Append(chars[..UnicodeWords.Lower(code).EncodeToUtf16(chars)]);
            else if (code == '\n')
                EndLine();
        }

        if (isInWord)
            End(useStemmer && Ascii.IsValid(tokens.Pending), tokens);
    }

    private void End(bool useStemmer, TokenTable tokens)
    {
        Span<char> word = tokens.Pending;
        _ids.Add(tokens.Commit(useStemmer && word.Length > 3 ? PorterStemmer.Stem(word) : word.Length));
    }

    private void EndLine()
    {
        if (_ids.Count > (_lineEnds.Count == 0 ? 0 : _lineEnds[^1]))
            _lineEnds.Add(_ids.Count);
    }
}
