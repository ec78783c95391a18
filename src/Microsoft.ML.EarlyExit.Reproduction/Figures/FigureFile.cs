using System.Globalization;
using Microsoft.ML.EarlyExit.Evaluation.DataSets;
using Microsoft.ML.EarlyExit.Evaluation.Files;
using Microsoft.ML.EarlyExit.Evaluation.Json;

namespace Microsoft.ML.EarlyExit.Reproduction.Figures;

/// <summary>Reads a figure again from its description, <c>NAME.figure.json</c>, and its numbers, <c>NAME.csv</c>.</summary>
internal sealed class FigureFile
{
    /// <summary>Panels of a figure; each is laid out and drawn by itself.</summary>
    private const int MostPanels = 64;

    /// <summary>Series or groups.</summary>
    private const int MostNames = 1000;

    /// <summary>Bars of all panels; each has a number beside it.</summary>
    private const int MostBars = 10_000;

    private readonly string _name;
    private readonly string _csvPath;
    private readonly JsonFields _fields;

    private FigureFile(string name, string csvPath, JsonFields fields)
    {
        _name = name;
        _csvPath = csvPath;
        _fields = fields;
    }

    /// <summary>Reads a figure.</summary>
    /// <param name="path">Its description; the numbers are beside it.</param>
    /// <exception cref="InvalidDataException">One of the two files is not what a figure's must be; the message names it, the line, and the column or
    /// field.</exception>
    /// <exception cref="IOException">There are no numbers beside it.</exception>
    public static Figure Read(string path)
    {
        string stem = path[..^Figure.DescriptionExtension.Length];
        using FileStream stream = InputFile.Open(path);
        return JsonFields.Parse(stream, path, fields => new FigureFile(Path.GetFileName(stem), $"{stem}.csv", fields).Read());
    }

    private Figure Read() => _fields.GetString("kind") switch
    {
        BoxPlotFigure.Kind => ReadBoxes(),
        BarFigure.Kind => ReadBars(),
        LineFigure.Kind => ReadLines(),
        _ => throw _fields.Refuse("kind", $"it must be {BoxPlotFigure.Kind}, {BarFigure.Kind} or {LineFigure.Kind}"),
    };

    private BoxPlotFigure ReadBoxes()
    {
        string[] names = Names(_fields, "series");
        // Each series has a panel.
        if (names.Length > MostPanels)
            throw TooMany(_fields, "series", MostPanels);
        var items = names.ToDictionary(name => name, _ => new List<BoxPlotFigure.Box>(), StringComparer.Ordinal);
        foreach (Row row in Rows(BoxPlotFigure.Columns))
        {
            double[] values = [.. Enumerable.Range(3, 7).Select(row.Number)];
            items[row.OneOf(0, items.Keys)].Add(new BoxPlotFigure.Box(
                row.Number(1), row.Integer(2, long.MaxValue), values[0], values[1], values[2], values[3], values[4], values[5], values[6]));
        }

        return new BoxPlotFigure(
            _name, _fields.GetString("title"), _fields.GetString("axis"), _fields.GetString("valueAxis"),
            [.. names.Select(name => new BoxPlotFigure.Boxes(name, items[name]))], _fields.GetBoolean("isLogarithmic"));
    }

    private BarFigure ReadBars()
    {
        string title = _fields.GetString("title");
        string[] groups = Names(_fields, "groups");
        string[] series = Names(_fields, "series");
        BarFigure.Panel[] panels = Panels(panel => new BarFigure.Panel(panel.GetString("valueAxis"), [], panel.GetBoolean("isLogarithmic")));
        if ((long)panels.Length * series.Length * groups.Length > MostBars)
            throw _fields.Refuse("groups", $"with {series.Length} series and {panels.Length} panels they make more than {MostBars} bars");
        double[][][] values = [.. panels.Select(_ => series.Select(_ => groups.Select(_ => double.NaN).ToArray()).ToArray())];
        var found = new HashSet<(long Panel, string Series, string Group)>();
        foreach (Row row in Rows(BarFigure.Columns))
        {
            int panel = row.Panel([.. panels.Select(one => one.ValueAxis)]);
            string one = row.OneOf(2, series);
            string group = row.OneOf(3, groups);
            if (!found.Add((panel, one, group)))
                throw row.Fail($"a value of the series '{one}' and the group '{group}' stands in panel {panel + 1} already");
            values[panel][Array.IndexOf(series, one)][Array.IndexOf(groups, group)] = row.Number(4);
        }

        return new BarFigure(_name, title, groups, series, [.. panels.Select((panel, index) => panel with { Values = values[index] })]);
    }

    private LineFigure ReadLines()
    {
        string title = _fields.GetString("title");
        string axis = _fields.GetString("axis");
        (string ValueAxis, double SmallestSpan, string[] Names)[] panels = Panels(
            panel => (panel.GetString("valueAxis"), panel.Has("smallestSpan") ? SmallestSpan(panel) : 0.0, Names(panel, "series")));
        Dictionary<string, List<(double X, double Y)>>[] points =
            [.. panels.Select(panel => panel.Names.ToDictionary(name => name, _ => new List<(double X, double Y)>(), StringComparer.Ordinal))];
        foreach (Row row in Rows(LineFigure.Columns))
        {
            int panel = row.Panel([.. panels.Select(one => one.ValueAxis)]);
            points[panel][row.OneOf(2, panels[panel].Names)].Add((row.Number(3), row.Number(4)));
        }

        return new LineFigure(
            _name, title, axis,
            [
                .. panels.Select((panel, index) => new LineFigure.Panel(
                    panel.ValueAxis, [.. panel.Names.Select(name => new LineFigure.Line(name, points[index][name]))], panel.SmallestSpan)),
            ]);
    }

    private static double SmallestSpan(JsonFields panel) => panel.GetSingle("smallestSpan") is >= 0 and < float.PositiveInfinity and var span
        ? span
        : throw panel.Refuse("smallestSpan", "it must be a finite number of at least 0");

    private T[] Panels<T>(Func<JsonFields, T> read)
    {
        T[] panels = _fields.GetObjects("panels", read);
        return panels.Length <= MostPanels ? panels : throw TooMany(_fields, "panels", MostPanels);
    }

    private string[] Names(JsonFields fields, string field)
    {
        string[] names = fields.GetStrings(field);
        if (names.Length > MostNames)
            throw TooMany(fields, field, MostNames);
        return names.Distinct(StringComparer.Ordinal).Count() == names.Length
            ? names
            : throw new InvalidDataException($"{Path.ChangeExtension(_csvPath, null)}{Figure.DescriptionExtension}: {field} has a name twice.");
    }

    private static InvalidDataException TooMany(JsonFields fields, string field, int most) => fields.Refuse(field, $"it must have at most {most} entries");

    private IEnumerable<Row> Rows(string[] columns)
    {
        using FileStream stream = InputFile.Open(_csvPath);
        var csv = new CsvReader(stream, _csvPath);
        string[] header = csv.Read() ?? throw new InvalidDataException($"{_csvPath} is empty.");
        if (!header.SequenceEqual(columns))
            throw csv.Fail($"the columns are {string.Join(',', header)}; they must be {string.Join(',', columns)}.");
        while (csv.Read(columns.Length) is { } fields)
            yield return new Row(csv, columns, fields);
    }

    /// <summary>One row of numbers.</summary>
    private sealed class Row(CsvReader csv, string[] columns, string[] fields)
    {
        public InvalidDataException Fail(string message) => csv.Fail($"{message}.");

        /// <summary>A number; NaN where the field is empty.</summary>
        public double Number(int column)
        {
            if (fields[column].Length == 0)
                return double.NaN;
            return double.TryParse(fields[column], NumberStyles.Float, CultureInfo.InvariantCulture, out double number)
                ? number
                : throw Refuse(column, "it must be a number, or empty");
        }

        public long Integer(int column, long largest) =>
            long.TryParse(fields[column], NumberStyles.None, CultureInfo.InvariantCulture, out long number) && number <= largest
                ? number
                : throw Refuse(column, largest == long.MaxValue ? "it must be a whole number" : $"it must be a whole number from 1 to {largest}");

        public string OneOf(int column, IEnumerable<string> names) =>
            names.Contains(fields[column], StringComparer.Ordinal) ? fields[column] : throw Refuse(column, $"the figure has only {string.Join(", ", names)}");

        /// <summary>The number of the panel from 0, in the first two columns.</summary>
        public int Panel(string[] valueAxes)
        {
            long number = Integer(0, valueAxes.Length);
            if (number < 1)
                throw Refuse(0, $"it must be a whole number from 1 to {valueAxes.Length}");
            if (fields[1] != valueAxes[number - 1])
                throw Refuse(1, $"that of panel {number} is '{valueAxes[number - 1]}'");
            return (int)number - 1;
        }

        private InvalidDataException Refuse(int column, string expectation) =>
            Fail($"{columns[column]} is '{JsonTokenReader.Shorten(fields[column])}'; {expectation}");
    }
}
