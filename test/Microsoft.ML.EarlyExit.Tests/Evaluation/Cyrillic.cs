namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>Latin letters transliterated one to one, their case included.</summary>
internal static class Cyrillic
{
    public static string Of(string text) => string.Create(text.Length, text, static (result, text) =>
    {
        for (int i = 0; i < result.Length; i++)
            result[i] = char.IsAsciiLetterLower(text[i]) ? (char)('а' + text[i] - 'a') : char.IsAsciiLetterUpper(text[i]) ? (char)('А' + text[i] - 'A') : text[i];
    });
}
