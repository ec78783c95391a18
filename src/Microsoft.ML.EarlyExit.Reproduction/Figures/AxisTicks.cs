using System.Globalization;
using ScottPlot;
using ScottPlot.TickGenerators;

namespace Microsoft.ML.EarlyExit.Reproduction.Figures;

/// <summary>The range of an axis and its ticks.</summary>
/// <param name="Min">Where it begins, as it is drawn: of a logarithmic axis the logarithm.</param>
/// <param name="Max">Where it ends.</param>
/// <param name="Ticks">The ticks; minor ones have no label.</param>
internal sealed record AxisTicks(double Min, double Max, IReadOnlyList<Tick> Ticks)
{
    /// <summary>Pixels of the widest label.</summary>
    public float LabelWidth => Ticks.Select(tick => FigureFont.Measure(tick.Label, FigureStyle.TickSize)).DefaultIfEmpty().Max();

    /// <summary>Ticks for positions such as layers: at whole numbers where all are whole, and otherwise as for other numbers.</summary>
    /// <param name="positions">Where something stands; at least one.</param>
    /// <param name="width">Pixels of the axis.</param>
    public static AxisTicks Positions(IReadOnlyList<double> positions, float width)
    {
        double lowest = positions.Min();
        double highest = positions.Max();
        if (highest - lowest > 1000 || Math.Abs(lowest) > 1e6 || !positions.All(double.IsInteger))
            return Linear(lowest, highest, Math.Max(2, (int)(width / 44)), room: 0.04);
        int first = (int)lowest;
        int last = (int)highest;
        int count = Math.Max(2, (int)(width / 22));
        int step = (int)Steps().First(step => Math.Floor(last / step) - Math.Floor((first - 1) / step) <= count);
        return new AxisTicks(
            lowest - 0.7, highest + 0.7,
            [
                .. Enumerable.Range(first, last - first + 1).Where(position => position % step == 0 || first == last)
                    .Select(position => Tick.Major(position, FigureNumbers.ToCsv((long)position))),
            ]);
    }

    /// <summary>Ticks at multiples of 1, 2 or 5 times a power of ten, at most so many.</summary>
    /// <param name="min">Where the axis begins.</param>
    /// <param name="max">Where it ends; where that is no more than the beginning, both are moved apart.</param>
    /// <param name="count">How many ticks there shall be at most.</param>
    /// <param name="room">The share of the range that is added at either end.</param>
    public static AxisTicks Linear(double min, double max, int count, double room = 0)
    {
        if (!(max - min > Math.Max(1e-200, 1e-12 * Math.Max(Math.Abs(min), Math.Abs(max)))))
        {
            double size = Math.Abs(max) < 1e-150 ? 1 : Math.Abs(max) * 0.1;
            (min, max) = (min - size, max + size);
        }

        (min, max) = (min - ((max - min) * room), max + ((max - min) * room));
        double power = Math.Pow(10, Math.Floor(Math.Log10((max - min) / count)));
        double step = ((double[])[1, 2, 5, 10]).Select(factor => factor * power).First(step => (max - min) / step <= count);
        var ticks = new List<Tick>();
        for (double multiple = Math.Ceiling((min / step) - 1e-9); multiple * step <= max + (1e-9 * step); multiple++)
        {
            // 3 · 0.1 is not 0.3, and -0 is not to be seen.
            double position = double.Parse((multiple * step).ToString("G12", CultureInfo.InvariantCulture), CultureInfo.InvariantCulture) + 0.0;
            ticks.Add(Tick.Major(position, Label(position, step, Math.Max(Math.Abs(min), Math.Abs(max)))));
        }

        return new AxisTicks(min, max, ticks);
    }

    /// <summary>Ticks at powers of ten, and small ones between them where there is room.</summary>
    /// <param name="lowest">The logarithm of the lowest value.</param>
    /// <param name="highest">The logarithm of the highest value.</param>
    /// <param name="count">How many powers are labelled at most.</param>
    public static AxisTicks Logarithmic(double lowest, double highest, int count)
    {
        int first = (int)Math.Floor(lowest + 1e-9);
        int last = Math.Max(first + 1, (int)Math.Ceiling(highest - 1e-9));
        int step = (int)Steps().First(step => (last - first) / step < count);
        var ticks = new List<Tick>();
        for (int exponent = first; exponent <= last; exponent++)
        {
            bool isLabelled = (exponent - first) % step == 0;
            ticks.Add(isLabelled ? Tick.Major(exponent, FigureNumbers.PowerOfTen(exponent)) : Tick.Minor(exponent));
            for (int factor = 2; factor < 10 && step == 1 && exponent < last; factor++)
                ticks.Add(Tick.Minor(exponent + Math.Log10(factor)));
        }

        return new AxisTicks(first, last, ticks);
    }

    public NumericManual CreateGenerator() => new([.. Ticks]);

    private static IEnumerable<double> Steps() =>
        Enumerable.Range(0, 300).SelectMany(exponent => (double[])[1, 2, 5], (exponent, factor) => factor * Math.Pow(10, exponent));

    private static string Label(double position, double step, double largest)
    {
        if (largest is >= 1e5 or < 1e-3)
            return position == 0 ? "0" : position.ToString("0.###e0", CultureInfo.InvariantCulture);
        int decimals = Math.Max(0, (int)Math.Ceiling(-Math.Log10(step) - 1e-9));
        return position.ToString($"F{decimals}", CultureInfo.InvariantCulture);
    }
}
