namespace Microsoft.ML.EarlyExit.Testing;

/// <summary>Latin letters transliterated one to one, their case included, into letters that the demo's vocabulary has none of.</summary>
internal static class Armenian
{
    public static string Of(string text) => string.Create(text.Length, text, static (result, text) =>
    {
        for (int i = 0; i < result.Length; i++)
            result[i] = char.IsAsciiLetterLower(text[i]) ? (char)('ա' + text[i] - 'a')
                : char.IsAsciiLetterUpper(text[i]) ? (char)('Ա' + text[i] - 'A')
                : text[i];
    });
}
