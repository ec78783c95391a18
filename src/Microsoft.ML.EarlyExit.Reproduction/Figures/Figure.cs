using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using Microsoft.ML.EarlyExit.Files;

namespace Microsoft.ML.EarlyExit.Reproduction.Figures;

/// <summary>A figure and the numbers it shows.</summary>
/// <param name="Name">Its files' name, without extension.</param>
/// <param name="Title">What it shows, in a line.</param>
internal abstract record Figure(string Name, string Title)
{
    /// <summary>What a description's name ends in.</summary>
    public const string DescriptionExtension = ".figure.json";

    /// <summary>
    /// Writes <c>NAME.png</c>, <c>NAME.svg</c>, the numbers, <c>NAME.csv</c>, and what else it takes to draw them again, <c>NAME.figure.json</c>, into a
    /// folder; each file appears whole or not at all. Numbers round-trip; one that is not there is left empty.
    /// </summary>
    /// <exception cref="ArgumentException">The name is no file's name, a series or group occurs twice, or a panel lacks values.</exception>
    /// <exception cref="IOException">The folder does not exist, or a file cannot be written.</exception>
    public void Save(string folder)
    {
        if (Name.Length == 0 || Name.AsSpan().ContainsAny(Path.GetInvalidFileNameChars()) || Name.AsSpan().ContainsAny('/', '\\'))
            throw new ArgumentException($"'{Name}' cannot be the name of a figure's files.");
        Check();
        Draw(folder);
        Write(folder, ".csv", stream =>
        {
            using var writer = new StreamWriter(stream, new UTF8Encoding(encoderShouldEmitUTF8Identifier: false), leaveOpen: true) { NewLine = "\n" };
            foreach (IReadOnlyList<string> row in Rows())
                writer.WriteLine(string.Join(',', row.Select(FigureNumbers.QuoteCsv)));
        });
        Write(folder, DescriptionExtension, stream =>
        {
            using var json = new Utf8JsonWriter(
                stream, new JsonWriterOptions { Indented = true, NewLine = "\n", Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping });
            json.WriteStartObject();
            Describe(json);
            json.WriteEndObject();
        });
    }

    /// <summary>Writes the two pictures only.</summary>
    public void Draw(string folder)
    {
        using FigurePage page = CreatePage();
        byte[] png = page.ToPng();
        string svg = page.ToSvg();
        Write(folder, ".png", stream => stream.Write(png));
        Write(folder, ".svg", stream => stream.Write(Encoding.UTF8.GetBytes(svg)));
    }

    /// <summary>Refuses what could not be read again.</summary>
    protected abstract void Check();

    /// <summary>The numbers, tidy: a header, and a row for each.</summary>
    protected abstract IEnumerable<IReadOnlyList<string>> Rows();

    /// <summary>Writes what the numbers do not say.</summary>
    protected abstract void Describe(Utf8JsonWriter json);

    protected abstract FigurePage CreatePage();

    /// <summary>Refuses names of which one occurs twice.</summary>
    protected void CheckUnique(IEnumerable<string> names, string kind)
    {
        if (names.GroupBy(name => name, StringComparer.Ordinal).FirstOrDefault(group => group.Count() > 1) is { } twice)
            throw new ArgumentException($"The {kind} '{twice.Key}' of the figure '{Name}' occurs twice.");
    }

    protected static void WriteStrings(Utf8JsonWriter json, string name, IEnumerable<string> items)
    {
        json.WriteStartArray(name);
        foreach (string item in items)
            json.WriteStringValue(item);
        json.WriteEndArray();
    }

    private void Write(string folder, string extension, Action<Stream> write) => AtomicFile.Write(Path.Combine(folder, Name + extension), "figure", write);
}
