using System.Runtime.InteropServices;

namespace Microsoft.ML.EarlyExit;

/// <summary>A text as rouge_score cuts it: numbers of its words, and where its lines end.</summary>
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

    /// <summary>Cuts a text: words are runs of ASCII letters and digits of the text in Python's lower case; those over three chars may be stemmed.</summary>
    public void Read(string text, bool useStemmer, TokenTable tokens)
    {
        _ids.Clear();
        _lineEnds.Clear();
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
        EndLine();
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
