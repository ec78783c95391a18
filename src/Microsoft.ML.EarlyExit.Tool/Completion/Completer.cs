using System.CommandLine;
using System.Globalization;
using System.Text.RegularExpressions;

namespace Microsoft.ML.EarlyExit.Tool.Completion;

/// <summary>What could be typed at a place of a command line, for the shells' scripts: <c>early-exit "[suggest:PLACE]" "LINE"</c>.</summary>
internal static partial class Completer
{
    /// <summary>Writes the candidates, one per line, where the arguments ask for them.</summary>
    /// <param name="arguments">The tool's arguments.</param>
    /// <param name="parse">Parses a line without the tool's name.</param>
    /// <param name="output">Where they go.</param>
    /// <returns>Whether they did.</returns>
    public static bool TryComplete(IReadOnlyList<string> arguments, Func<string, ParseResult> parse, TextWriter output)
    {
        if (arguments is not [var directive, var line] || Directive().Match(directive) is not { Success: true } match)
            return false;
        int place = int.Parse(match.Groups[1].ValueSpan, NumberStyles.None, CultureInfo.InvariantCulture);

        // Shells may leave out the blanks at the end.
        line = place <= line.Length ? line[..place] : $"{line} ";
        line = line.TrimStart();
        int nameEnd = IndexOfBlank(line);
        if (nameEnd < 0)
            return true;
        line = line[nameEnd..].TrimStart();
        string word = line[(Array.FindLastIndex(line.ToCharArray(), char.IsWhiteSpace) + 1)..];
        foreach (string label in parse(line).GetCompletions(line.Length).Select(item => item.Label).Where(label => Continues(label, word)).Distinct())
            output.WriteLine(label);
        return true;
    }

    /// <summary>Whether a candidate begins as the word does; options only where one was begun, so that shells offer files elsewhere.</summary>
    private static bool Continues(string label, string word) =>
        label.StartsWith(word, StringComparison.Ordinal)
        && (word.StartsWith('-') ? label.StartsWith("--", StringComparison.Ordinal) : char.IsAsciiLetterOrDigit(label[0]));

    private static int IndexOfBlank(string text) => Array.FindIndex(text.ToCharArray(), char.IsWhiteSpace);

    [GeneratedRegex(@"^\[suggest:(\d{1,6})\]$", RegexOptions.CultureInvariant)]
    private static partial Regex Directive();
}
