using ScottPlot;
using SkiaSharp;

namespace Microsoft.ML.EarlyExit.Reproduction.Figures;

/// <summary>The one font of all figures, which the tool brings: what a machine has installed changes nothing.</summary>
internal sealed class FigureFont : IFontResolver
{
    public const string Name = "DejaVu Sans";

    static FigureFont()
    {
        using Stream resource = typeof(FigureFont).Assembly.GetManifestResourceStream("DejaVuSans.ttf")!;
        Typeface = SKTypeface.FromStream(resource);
        Fonts.FontResolvers.Insert(0, new FigureFont());
        Fonts.Default = Name;
    }

    private FigureFont()
    {
    }

    public static SKTypeface Typeface { get; }

    /// <summary>Pixels that a line of text is wide.</summary>
    public static float Measure(string text, float size)
    {
        using var font = new SKFont(Typeface, size);
        return font.MeasureText(text);
    }

    /// <summary>A text in one line that can be drawn and written into XML: control characters and halves of surrogate pairs become spaces.</summary>
    public static string Clean(string text)
    {
        char[] characters = text.ToCharArray();
        for (int index = 0; index < characters.Length; index++)
        {
            bool isPair = char.IsHighSurrogate(characters[index]) && index + 1 < characters.Length && char.IsLowSurrogate(characters[index + 1]);
            if (isPair)
                index++;
            else if (char.IsControl(characters[index]) || char.IsSurrogate(characters[index]) || characters[index] >= '\uFFFE')
                characters[index] = ' ';
        }

        return new string(characters);
    }

    /// <summary>A text broken at spaces into lines of at most so many pixels, as far as its words allow; a word that is longer is cut.</summary>
    public static IReadOnlyList<string> Wrap(string text, float width, float size)
    {
        var lines = new List<string>();
        string line = "";
        foreach (string word in Clean(text).Split(' ', StringSplitOptions.RemoveEmptyEntries))
        {
            string longer = line.Length == 0 ? word : $"{line} {word}";
            if (line.Length > 0 && Measure(longer, size) > width)
            {
                lines.Add(line);
                longer = word;
            }

            line = Cut(longer, width, size);
        }

        if (line.Length > 0)
            lines.Add(line);
        return lines;
    }

    /// <summary>As much of a text as has room, with an ellipsis where something is left out.</summary>
    public static string Cut(string text, float width, float size)
    {
        if (Measure(text, size) <= width)
            return text;
        int length = text.Length;
        while (length > 0 && Measure($"{text.AsSpan(0, length)}…", size) > width)
            length -= length > 1 && char.IsLowSurrogate(text[length - 1]) ? 2 : 1;
        return $"{text.AsSpan(0, length)}…";
    }

    public SKTypeface? CreateTypeface(string fontName, FontWeight weight, FontSlant slant, FontSpacing spacing) => Typeface;

    public SKTypeface? CreateTypeface(string fontName, bool bold, bool italic) => Typeface;
}
