namespace Microsoft.ML.EarlyExit.Evaluation.Metrics;

/// <summary>Porter's stemmer as NLTK's PorterStemmer has it by default: the published algorithm with NLTK's extensions.</summary>
/// <remarks>
/// M. F. Porter, "An algorithm for suffix stripping", Program 14(3), 1980. Extensions: a few irregular words; words of one or two letters stay;
/// "ies" and "ied" keep their "e" in words of four letters; "y" becomes "i" only after a consonant that is not the first letter;
/// "bli", "fulli" and "logi" have rules; "alli" is looked at first and its result again; a vowel and a consonant alone keep a final "e".
/// </remarks>
internal static class PorterStemmer
{
    // By the suffix's last letter but one, so that most rules need no look; those that fit the same word stay in order.
    private static readonly (string Suffix, string Replacement)[]?[] s_derivations = ByLetter(
    [
        ("ational", "ate"), ("tional", "tion"), ("enci", "ence"), ("anci", "ance"), ("izer", "ize"), ("bli", "ble"), ("alli", "al"),
        ("entli", "ent"), ("eli", "e"), ("ousli", "ous"), ("ization", "ize"), ("ation", "ate"), ("ator", "ate"), ("alism", "al"),
        ("iveness", "ive"), ("fulness", "ful"), ("ousness", "ous"), ("aliti", "al"), ("iviti", "ive"), ("biliti", "ble"), ("fulli", "ful"),
    ]);

    private static readonly (string Suffix, string Replacement)[]?[] s_endings = ByLetter(
        [("icate", "ic"), ("ative", ""), ("alize", "al"), ("iciti", "ic"), ("ical", "ic"), ("ful", ""), ("ness", "")]);

    private static readonly (string Suffix, string Replacement)[]?[] s_remainders = ByLetter(
    [
        ("al", ""), ("ance", ""), ("ence", ""), ("er", ""), ("ic", ""), ("able", ""), ("ible", ""), ("ant", ""), ("ement", ""), ("ment", ""), ("ent", ""),
        ("ion", ""), ("ou", ""), ("ism", ""), ("ate", ""), ("iti", ""), ("ous", ""), ("ive", ""), ("ize", ""),
    ]);

    /// <summary>Stems a word of lower case in place; returns the length of the stem, which is never more than the word's.</summary>
    public static int Stem(Span<char> word)
    {
        if (word.Length is > 2 and < 9 && Irregular(word) is { } stem)
        {
            stem.CopyTo(word);
            return stem.Length;
        }

        if (word.Length <= 2)
            return word.Length;
        int length = RemovePlural(word, word.Length);
        length = RemovePast(word, length);
        if (word[length - 1] == 'y' && length > 2 && IsConsonant(word, length - 2))
            word[length - 1] = 'i';
        length = ReplaceDerivation(word, length);
        length = ReplaceFirst(word, length, s_endings);
        length = RemoveRemainder(word, length);
        return RemoveFinal(word, length);
    }

    private static string? Irregular(ReadOnlySpan<char> word) => word switch
    {
        "sky" or "skies" => "sky",
        "dying" => "die",
        "lying" => "lie",
        "tying" => "tie",
        "news" => "news",
        "innings" or "inning" => "inning",
        "outings" or "outing" => "outing",
        "cannings" or "canning" => "canning",
        "howe" => "howe",
        "proceed" => "proceed",
        "exceed" => "exceed",
        "succeed" => "succeed",
        _ => null,
    };

    // Step 1a.
    private static int RemovePlural(ReadOnlySpan<char> word, int length)
    {
        if (word[length - 1] != 's')
            return length;
        if (word[..length].EndsWith("ies"))
            return length == 4 ? 3 : length - 2;
        if (word[..length].EndsWith("sses"))
            return length - 2;
        return word[length - 2] == 's' ? length : length - 1;
    }

    // Step 1b.
    private static int RemovePast(Span<char> word, int length)
    {
        ReadOnlySpan<char> whole = word[..length];
        if (whole.EndsWith("ied"))
            return length == 4 ? 3 : length - 2;
        if (whole.EndsWith("eed"))
            return Measure(word[..(length - 3)]) > 0 ? length - 1 : length;
        int stem = whole.EndsWith("ed") ? length - 2 : whole.EndsWith("ing") ? length - 3 : 0;
        if (stem == 0 || !HasVowel(word[..stem]))
            return length;

        ReadOnlySpan<char> rest = word[..stem];
        bool endsShort = rest.EndsWith("at") || rest.EndsWith("bl") || rest.EndsWith("iz");
        if (!endsShort && stem >= 2 && word[stem - 1] == word[stem - 2] && IsConsonant(word, stem - 1))
            return word[stem - 1] is 'l' or 's' or 'z' ? stem : stem - 1;
        if (endsShort || (Measure(rest) == 1 && EndsShort(rest)))
            word[stem++] = 'e';
        return stem;
    }

    // Step 2.
    private static int ReplaceDerivation(Span<char> word, int length)
    {
        if (word[..length].EndsWith("alli") && Measure(word[..(length - 4)]) > 0)
            length -= 2;
        if (word[..length].EndsWith("logi"))
            return Measure(word[..(length - 3)]) > 0 ? length - 1 : length;
        return ReplaceFirst(word, length, s_derivations);
    }

    // Of the rules whose suffix fits only the first counts, whether the stem before it is long enough or not.
    private static int ReplaceFirst(Span<char> word, int length, (string Suffix, string Replacement)[]?[] rules)
    {
        foreach ((string suffix, string replacement) in Fitting(rules, word, length))
        {
            if (!word[..length].EndsWith(suffix))
                continue;
            int stem = length - suffix.Length;
            if (Measure(word[..stem]) == 0)
                return length;
            replacement.CopyTo(word[stem..]);
            return stem + replacement.Length;
        }

        return length;
    }

    // Step 4.
    private static int RemoveRemainder(ReadOnlySpan<char> word, int length)
    {
        foreach ((string suffix, _) in Fitting(s_remainders, word, length))
        {
            if (!word[..length].EndsWith(suffix))
                continue;
            int stem = length - suffix.Length;
            bool isRemoved = Measure(word[..stem]) > 1 && (suffix != "ion" || word[stem - 1] is 's' or 't');
            return isRemoved ? stem : length;
        }

        return length;
    }

    private static ReadOnlySpan<(string Suffix, string Replacement)> Fitting(
        (string Suffix, string Replacement)[]?[] rules, ReadOnlySpan<char> word, int length)
    {
        int letter = length < 2 ? -1 : word[length - 2] - 'a';
        return (uint)letter < (uint)rules.Length ? rules[letter] : default(ReadOnlySpan<(string, string)>);
    }

    private static (string Suffix, string Replacement)[]?[] ByLetter((string Suffix, string Replacement)[] rules)
    {
        var byLetter = new (string Suffix, string Replacement)[]?['z' - 'a' + 1];
        foreach (IGrouping<int, (string, string)> letter in rules.GroupBy(rule => rule.Suffix[^2] - 'a'))
            byLetter[letter.Key] = [.. letter];
        return byLetter;
    }

    // Step 5.
    private static int RemoveFinal(ReadOnlySpan<char> word, int length)
    {
        if (word[length - 1] == 'e')
        {
            ReadOnlySpan<char> stem = word[..(length - 1)];
            int measure = Measure(stem);
            if (measure > 1 || (measure == 1 && !EndsShort(stem)))
                length--;
        }

        return word[..length].EndsWith("ll") && Measure(word[..(length - 1)]) > 1 ? length - 1 : length;
    }

    // How many times a consonant follows a vowel.
    private static int Measure(ReadOnlySpan<char> stem)
    {
        int measure = 0;
        bool wasConsonant = true;
        for (int i = 0; i < stem.Length; i++)
        {
            bool isConsonant = IsConsonant(stem[i], i == 0 || !wasConsonant);
            if (isConsonant && i > 0 && !wasConsonant)
                measure++;
            wasConsonant = isConsonant;
        }

        return measure;
    }

    private static bool HasVowel(ReadOnlySpan<char> stem)
    {
        for (int i = 0; i < stem.Length; i++)
        {
            if (!IsConsonant(stem, i))
                return true;
        }

        return false;
    }

    // Consonant, vowel, consonant other than w, x, y; or a vowel and a consonant alone.
    private static bool EndsShort(ReadOnlySpan<char> stem)
    {
        int last = stem.Length - 1;
        if (last < 1 || !IsConsonant(stem, last) || IsConsonant(stem, last - 1))
            return false;
        return last == 1 || (IsConsonant(stem, last - 2) && stem[last] is not ('w' or 'x' or 'y'));
    }

    private static bool IsConsonant(ReadOnlySpan<char> word, int place)
    {
        // Along a run of y the kinds alternate, so only the run's length and what comes before it matter.
        int start = place;
        while (start > 0 && word[start] == 'y')
            start--;
        bool isConsonant = IsConsonant(word[start], start == 0);
        return ((place - start) & 1) == 0 ? isConsonant : !isConsonant;
    }

    private static bool IsConsonant(char c, bool isYConsonant) => c switch
    {
        'a' or 'e' or 'i' or 'o' or 'u' => false,
        'y' => isYConsonant,
        _ => true,
    };
}
