using Microsoft.ML.EarlyExit.Reproduction.Figures;

namespace Microsoft.ML.EarlyExit.Reproduction;

/// <summary>The report's figures.</summary>
internal sealed class ReportFigures(ReportData data)
{
    private const string TimeAxis = "time per token, full depth = 1";

    private static readonly (string Measure, string Pruning)[] s_measures = [("softmax", "none"), ("weighted", "none"), ("jsd", "none")];
    private static readonly (string Measure, string Pruning)[] s_prunings = [("jsd", "none"), ("jsd", "fixed"), ("jsd", "decaying"), ("jsd", "adaptive")];
    private static readonly (string Measure, string Pruning)[] s_baselines = [("softmax", "none"), ("weighted", "none"), ("jsd", "none"), ("jsd", "adaptive")];
    private static readonly (string Measure, string Pruning)[] s_softmax =
        [("softmax", "none"), ("softmax", "fixed"), ("softmax", "decaying"), ("softmax", "adaptive")];

    private static readonly (string Measure, string Pruning)[] s_compared = [("softmax", "none"), ("softmax", "fixed"), ("jsd", "none"), ("jsd", "adaptive")];

    public Figure Ranks => new BoxPlotFigure(
        "figure-01-ranks",
        "Rank of the final token at each layer",
        "decoder layer",
        "rank",
        [.. data.Plans.Where(plan => Layers(plan).Count > 0).Select(plan => new BoxPlotFigure.Boxes(plan.Model, [.. Layers(plan).Select(ToBox)]))],
        IsLogarithmic: true);

    /// <summary>Confidence against quality by layer, for each model.</summary>
    public IReadOnlyList<Figure> Confidences =>
    [
        .. data.Plans.Select(plan => new LineFigure(
            $"{(data.AreAnswers ? "figure-02-03-" : "")}confidence-{plan.Model}",
            $"Confidence and quality by layer: {plan.Model}",
            "decoder layer",
            [
                new LineFigure.Panel(
                    "percent",
                    [
                        new("mean softmax margin", [.. Layers(plan).Select(layer => ((double)layer.Layer, 100 * layer.MeanConfidence))]),
                        new(
                            $"{data.Metric}, all tokens leave here",
                            Points(Enumerable.Range(1, plan.Depth), plan, plan.StaticName, cell => cell.Primary.Percent.Value)),
                    ]),
                new LineFigure.Panel(
                    TimeAxis,
                    [new("time, all tokens leave here", Points(Enumerable.Range(1, plan.Depth), plan, plan.StaticName, cell => cell.Latency?.Ratio.Value))]),
            ])),
    ];

    public Figure SoftmaxPruning => Bars(
        $"figure-{data.Number(4)}-softmax-pruning", "Softmax with pruning, per sample", s_softmax, plan => plan.EarlyLayers,
        series => series.Pruning == "none" ? "no pruning" : series.Pruning);

    public Figure Compared => Bars(
        $"figure-{data.Number(8)}-softmax-and-jsd", "Softmax and JSD, with and without pruning, per sample", s_compared, plan => plan.ComparedLayers, Title);

    /// <summary>Mean exit and quality of the three measures by minimum layer, for each model.</summary>
    public IReadOnlyList<Figure> Measures => Curves($"figure-{data.Number(6)}-measures", "Measures without pruning", s_measures);

    /// <summary>The same of JSD with every pruning.</summary>
    public IReadOnlyList<Figure> Prunings => Curves($"figure-{data.Number(10)}-jsd-pruning", "JSD with pruning", s_prunings);

    /// <summary>The same of the measures without pruning and of JSD with adaptive pruning.</summary>
    public IReadOnlyList<Figure> Baselines => Curves($"figure-{data.Number(12)}-baselines", "Baselines against adaptive pruning", s_baselines);

    public IEnumerable<Figure> All => [Ranks, .. Confidences, SoftmaxPruning, .. Measures, Compared, .. Prunings, .. Baselines];

    private static string Title((string Measure, string Pruning) series) =>
        series.Pruning == "none" ? ReportData.Words(series.Measure) : $"{ReportData.Words(series.Measure)}, {series.Pruning}";

    private static BoxPlotFigure.Box ToBox(LayerSummary layer)
    {
        IReadOnlyList<double> ranks = layer.RankQuantiles;
        return new BoxPlotFigure.Box(layer.Layer, layer.Tokens, ranks[0], ranks[1], ranks[2], ranks[3], ranks[4], ranks[5], ranks[6]);
    }

    private IReadOnlyList<LayerSummary> Layers(ReproductionPlan plan) =>
        [.. (data.Find(plan, ReproductionPlan.Layers)?.Layers ?? []).Where(layer => layer.RankQuantiles.Count == 7)];

    private IReadOnlyList<(double X, double Y)> Points(
        IEnumerable<int> layers, ReproductionPlan plan, Func<int, string> name, Func<GenerationSummary, double?> value) =>
    [
        .. from layer in layers
           let number = data.Find(plan, name(layer))?.Generation is { } generation ? value(generation) : null
           where number is not null
           select ((double)layer, number.Value),
    ];

    private BarFigure Bars(
        string name, string title, IReadOnlyList<(string Measure, string Pruning)> series, Func<ReproductionPlan, IEnumerable<int>> layers,
        Func<(string Measure, string Pruning), string> seriesTitle)
    {
        (ReproductionPlan Plan, int Layer)[] groups = [.. data.Plans.SelectMany(plan => layers(plan).Select(layer => (plan, layer)))];
        return new BarFigure(
            name,
            title,
            [.. groups.Select(group => $"{group.Plan.Model}, from layer {group.Layer}")],
            [.. series.Select(seriesTitle)],
            [
                Panel($"{data.Metric}, %", cell => cell.Primary.Percent.Value),
                Panel("confidence FLOPs, paper's count", cell => Positive(cell.OperationsPerSample.Paper), isLogarithmic: true),
                Panel(TimeAxis, cell => cell.Latency?.Ratio.Value),
                Panel("confidence FLOPs, exact", cell => Positive(cell.OperationsPerSample.Confidence), isLogarithmic: true),
            ]);

        // A bar of nothing has no place on a logarithmic axis.
        double? Positive(double value) => value > 0 ? value : null;

        BarFigure.Panel Panel(string axis, Func<GenerationSummary, double?> value, bool isLogarithmic = false) => new(
            axis,
            [
                .. series.Select(one => (IReadOnlyList<double>)
                [
                    .. from bar in groups
                       let cell = data.Find(bar.Plan, ReproductionPlan.Name(one.Measure, one.Pruning, bar.Layer))?.Generation
                       select cell is null ? double.NaN : value(cell) ?? double.NaN,
                ]),
            ],
            isLogarithmic);
    }

    private IReadOnlyList<Figure> Curves(string name, string title, IReadOnlyList<(string Measure, string Pruning)> series) =>
    [
        .. data.Plans.Select(plan => new LineFigure(
            $"{name}-{plan.Model}",
            $"{title}: {plan.Model}",
            "minimum exit layer",
            [
                Panel("mean exit layer", plan, series, cell => cell.MeanExitLayer),
                Panel($"{data.Metric}, %", plan, series, cell => cell.Primary.Percent.Value) with { SmallestSpan = 5 },

                // What full depth takes is what the others are divided by; measured against itself it shows noise, which the table has.
                Panel(TimeAxis, plan, series, cell => cell.Latency?.Ratio.Value, fullDepth: _ => 1),
            ])),
    ];

    private LineFigure.Panel Panel(
        string axis, ReproductionPlan plan, IReadOnlyList<(string Measure, string Pruning)> series, Func<GenerationSummary, double?> value,
        Func<GenerationSummary, double?>? fullDepth = null) => new(
        axis,
        [
            .. series.Select(one => new LineFigure.Line(
                Title(one), Points(plan.Curve, plan, layer => ReproductionPlan.Name(one.Measure, one.Pruning, layer), value))),
            new("no exiting", Points(plan.Curve, plan, _ => ReproductionPlan.FullDepth, fullDepth ?? value)),
        ]);
}
