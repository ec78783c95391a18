namespace Microsoft.ML.EarlyExit.Reproduction;

/// <summary>The report's tables.</summary>
internal sealed class ReportTables(ReportData data)
{
    private const int QualityDecimals = 2;

    /// <summary>All of them.</summary>
    public IReadOnlyList<ReportTable> All =>
    [
        Baseline, Ranks, Confidences, SoftmaxPruning, Curves, Compared, Table1, PruningGain,
        .. data.Published is { } published ? PublishedTables(published) : [],
        Cells,
    ];

    public ReportTable Baseline => Generations(
        "baseline", "Full depth", ["model"], [.. data.Plans.Select(plan => (new[] { plan.Model }, data.Find(plan, ReproductionPlan.FullDepth)))]);

    public ReportTable Ranks => new(
        "figure-01-ranks",
        "Figure 1: the rank, from 0, that the final token has at each layer",
        [
            ReportColumn.Text("model"), new("layer"), new("tokens"), new("lowest", IsCsvOnly: true), new("5 %"), new("25 %"), new("median"), new("75 %"),
            new("95 %"), new("highest"), new("rank 0, %"),
        ],
        [.. LayerRows((plan, layer) => (IReadOnlyList<ReportCell>)
        [
            ReportCell.Text(plan.Model), ReportCell.Number(layer.Layer, 0), ReportCell.Number(layer.Tokens, 0),
            .. Enumerable.Range(0, 7).Select(index => ReportCell.Number(layer.RankQuantiles.Count > index ? layer.RankQuantiles[index] : null, 0)),
            ReportCell.Number(100 * layer.ShareOfRankZero, 1),
        ])]);

    public ReportTable Confidences => new(
        $"{(data.AreAnswers ? "figure-02-03-" : "")}confidence-by-layer",
        $"{(data.AreAnswers ? "Figures 2 and 3: c" : "C")}onfidence of each layer, and quality where every token exits there",
        [
            ReportColumn.Text("model"), new("layer"), new("mean softmax margin"), new($"{data.Metric}, %", ReportColumn.Content.Interval),
            new("same as full depth, %"), new("time against full depth", ReportColumn.Content.Interval),
        ],
        [.. LayerRows((plan, layer) =>
        {
            GenerationSummary? generation = data.Find(plan, plan.StaticName(layer.Layer))?.Generation;
            return (IReadOnlyList<ReportCell>)
            [
                ReportCell.Text(plan.Model), ReportCell.Number(layer.Layer, 0), ReportCell.Number(layer.MeanConfidence, 3),
                ReportCell.Interval(generation?.Primary.Percent, QualityDecimals), ReportCell.Number(generation?.Agreement.Value, 1),
                ReportCell.Interval(generation?.Latency?.Ratio, 2),
            ];
        })]);

    public ReportTable SoftmaxPruning => Policies(
        $"figure-{data.Number(4)}-softmax-pruning",
        $"Figure {data.Number(4).TrimStart('0')}: softmax with every pruning",
        plan => from layer in plan.EarlyLayers from pruning in (string[])["none", "fixed", "decaying", "adaptive"] select ("softmax", pruning, layer));

    public ReportTable Curves => Policies(
        $"figures-{data.Number(6)}-{data.Number(10)}-{data.Number(12)}-minimum-layers",
        $"Figures {data.Number(6).TrimStart('0')}, {data.Number(10)} and {data.Number(12)}: every minimum layer",
        plan =>
            from series in ((string, string)[])
                [("softmax", "none"), ("weighted", "none"), ("jsd", "none"), ("jsd", "fixed"), ("jsd", "decaying"), ("jsd", "adaptive")]
            from layer in plan.Curve
            select (series.Item1, series.Item2, layer));

    public ReportTable Compared => Policies(
        $"figure-{data.Number(8)}-softmax-and-jsd",
        $"Figure {data.Number(8).TrimStart('0')}: softmax and JSD, unpruned and with the pruning that suits each best",
        plan => from layer in plan.ComparedLayers
                from series in ((string, string)[])[("softmax", "none"), ("softmax", "fixed"), ("jsd", "none"), ("jsd", "adaptive")]
                select (series.Item1, series.Item2, layer));

    public ReportTable Table1 => new(
        "table-1",
        "Table 1: JSD with pruning, mean ± standard deviation over the minimum layers",
        [
            ReportColumn.Text("model"), ReportColumn.Text("pruning"), ReportColumn.Text("minimum layers"), new("exit layer", ReportColumn.Content.Deviation),
            new($"{data.Metric}, %", ReportColumn.Content.Deviation), new("FLOPs of confidences, the paper's count"), new("FLOPs of confidences, exact"),
            new("time against full depth", ReportColumn.Content.Deviation),
        ],
        [
            .. data.Published is { } published ? published.Table1.Select(column => (IReadOnlyList<ReportCell>)
            [
                ReportCell.Text($"paper, T5-large, {published.DataSet}"), ReportCell.Text(column.Pruning),
                ReportCell.Text($"{string.Join(", ", PaperLayers.Table1)} of {PaperLayers.Depth}"),
                ReportCell.MeanAndDeviation([column.ExitLayer], 2), ReportCell.MeanAndDeviation([column.Quality], QualityDecimals),
                ReportCell.Scientific(null), ReportCell.Scientific(null), ReportCell.MeanAndDeviation([], 2),
            ]) : [],
            .. from plan in data.Plans from pruning in (string[])["fixed", "decaying", "adaptive"] select Table1Row(plan, pruning),
        ]);

    /// <summary>How far pruning lowers the operations that confidences cost, in the paper and here, and what comes of it in time.</summary>
    public ReportTable PruningGain => new(
        "pruning-gain",
        "What pruning saves: softmax without pruning, divided by softmax with it",
        [
            ReportColumn.Text("model"), ReportColumn.Text("data"), ReportColumn.Text("minimum layer"),
            new("paper's count, none ÷ fixed"), new("paper's count, none ÷ decaying"),
            new("exact count, none ÷ fixed"), new("exact count, none ÷ decaying"), new("time, none ÷ fixed"), new("time, none ÷ decaying"),
        ],
        [
            .. from published in (PublishedNumbers[])[PublishedNumbers.Squad, PublishedNumbers.SamSum]
               from bars in published.Softmax
               select (IReadOnlyList<ReportCell>)
               [
                   ReportCell.Text($"paper, T5-large {bars.Model}"), ReportCell.Text(published.DataSet),
                   ReportCell.Text($"{bars.MinimumLayer} of {PaperLayers.Depth}"),
                   ReportCell.Number(bars.Operations[0] / bars.Operations[1], 1), ReportCell.Number(bars.Operations[0] / bars.Operations[2], 1),
                   .. Enumerable.Repeat(ReportCell.Number(null), 4),
               ],
            .. from plan in data.Plans from layer in plan.EarlyLayers select GainRow(plan, layer),
        ]);

    /// <summary>Every number of every cell.</summary>
    public ReportTable Cells => Generations(
        "cells",
        "All cells",
        ["model", "cell"],
        [
            .. from plan in data.Plans
               from cell in plan.Cells
               where cell.Kind != CellKind.Layers
               select (new[] { plan.Model, cell.Title }, data.Find(plan, cell.Name)),
        ]);

    /// <summary>The paper's numbers beside this run's.</summary>
    public IReadOnlyList<ReportTable> PublishedTables(PublishedNumbers published) =>
    [
        new(
            $"published-softmax-pruning",
            $"The paper's figure {data.Number(4).TrimStart('0')} beside this run: softmax, threshold 0.9 in the paper",
            [
                ReportColumn.Text("model"), ReportColumn.Text("minimum layer"),
                .. PublishedNumbers.Prunings.Select(pruning => new ReportColumn($"{published.Metric}, {pruning}")),
                .. PublishedNumbers.Prunings.Select(pruning => new ReportColumn($"FLOPs, {pruning} (paper's count)")),
                .. PublishedNumbers.Prunings.Select(pruning => new ReportColumn($"time against full depth, {pruning}")),
            ],
            [.. published.Softmax.SelectMany(PublishedRows)]),
        .. published.Late.Count == 0 ? (ReportTable[])[] : [new(
            "published-minimum-layer-19",
            "What the paper's text says of minimum layer 19, beside this run",
            [
                ReportColumn.Text("model"), ReportColumn.Text("measure"), ReportColumn.Text("minimum layer"),
                new($"{published.Metric}, unpruned"), new($"{published.Metric}, pruned"),
                new("FLOPs, unpruned (paper's count)"), new("FLOPs, pruned (paper's count)"),
                new("time against full depth, unpruned"), new("time against full depth, pruned"),
            ],
            [.. published.Late.SelectMany(LateRows)])],
    ];

    private static string At(int layer, ReproductionPlan plan) => $"{layer} of {plan.Depth}";

    private IEnumerable<IReadOnlyList<ReportCell>> LayerRows(Func<ReproductionPlan, LayerSummary, IReadOnlyList<ReportCell>> row) =>
        data.Plans.SelectMany(plan => (data.Find(plan, ReproductionPlan.Layers)?.Layers ?? []).Select(layer => row(plan, layer)));

    private ReportTable Policies(
        string name, string title, Func<ReproductionPlan, IEnumerable<(string Measure, string Pruning, int Layer)>> policies) => Generations(
        name,
        title,
        ["model", "minimum layer", "measure", "pruning"],
        [
            .. data.Plans.Select(plan => (new[] { plan.Model, "", "full depth", "" }, data.Find(plan, ReproductionPlan.FullDepth))),
            .. from plan in data.Plans
               from policy in policies(plan)
               select (new[] { plan.Model, At(policy.Layer, plan), ReportData.Words(policy.Measure), policy.Pruning },
                   data.Find(plan, ReproductionPlan.Name(policy.Measure, policy.Pruning, policy.Layer))),
        ]);

    private ReportTable Generations(string name, string title, string[] keys, IReadOnlyList<(string[] Keys, CellRecord? Cell)> rows) => new(
        name,
        title,
        [
            .. keys.Select(ReportColumn.Text),
            new($"{data.Metric}, %", ReportColumn.Content.Interval),
            .. data.Metrics.Skip(1).Select(metric => new ReportColumn($"{metric}, %")),
            new("same as full depth, %"),
            new("mean exit"),
            new("tokens per sample"),
            new("FLOPs of confidences, the paper's count"),
            new("FLOPs of confidences, exact"),
            new("FLOPs in all, exact"),
            new("ms a token"),
            new("time against full depth", ReportColumn.Content.Interval),
            new("ms a token with encoder", IsCsvOnly: true),
            new("time against full depth with encoder", ReportColumn.Content.Interval, IsCsvOnly: true),
            new("full depth beside it, ms a token", IsCsvOnly: true),
            new("FLOPs of the decoder", IsCsvOnly: true),
            new("FLOPs of state propagation", IsCsvOnly: true),
            new("FLOPs of the head", IsCsvOnly: true),
            new("rows measured", IsCsvOnly: true),
            new("failed rows", IsCsvOnly: true),
        ],
        [.. rows.Select(row => (IReadOnlyList<ReportCell>)[.. row.Keys.Select(ReportCell.Text), .. Numbers(row.Cell?.Generation)])]);

    private IEnumerable<ReportCell> Numbers(GenerationSummary? generation)
    {
        LatencySummary? latency = generation?.Latency;
        OperationSummary? operations = generation?.OperationsPerSample;
        yield return ReportCell.Interval(generation?.Primary.Percent, QualityDecimals);
        for (int metric = 1; metric < data.Metrics.Count; metric++)
            yield return ReportCell.Number(generation?.Quality[metric].Percent.Value, QualityDecimals);
        yield return ReportCell.Number(generation?.Agreement.Value, 1);
        yield return ReportCell.Number(generation?.MeanExitLayer);
        yield return ReportCell.Number((double?)generation?.Tokens / generation?.Samples, 1);
        yield return ReportCell.Scientific(operations?.Paper);
        yield return ReportCell.Scientific(operations?.Confidence);
        yield return ReportCell.Scientific(operations?.Total);
        yield return ReportCell.Number(latency?.MillisecondsPerToken);
        yield return ReportCell.Interval(latency?.Ratio, 2);
        yield return ReportCell.Number(latency?.MillisecondsPerTokenWithEncoder);
        yield return ReportCell.Interval(latency?.RatioWithEncoder, 2);
        yield return ReportCell.Number(latency?.FullDepthMillisecondsPerToken);
        yield return ReportCell.Scientific(operations?.Decoder);
        yield return ReportCell.Scientific(operations?.StatePropagation);
        yield return ReportCell.Scientific(operations?.Head);
        yield return ReportCell.Number(latency?.Rows, 0);
        yield return ReportCell.Number(generation?.Errors, 0);
    }

    private IReadOnlyList<ReportCell> Table1Row(ReproductionPlan plan, string pruning)
    {
        GenerationSummary[] found =
            [.. plan.Table1.Select(layer => data.Find(plan, ReproductionPlan.Name("jsd", pruning, layer))?.Generation).OfType<GenerationSummary>()];
        bool isComplete = found.Length == plan.Table1.Count;
        GenerationSummary[] cells = isComplete ? found : [];
        return
        [
            ReportCell.Text(plan.Model), ReportCell.Text(pruning), ReportCell.Text(At(plan.Table1)),
            ReportCell.MeanAndDeviation(Values(cell => cell.MeanExitLayer), 2),
            ReportCell.MeanAndDeviation(Values(cell => cell.Primary.Percent.Value), QualityDecimals),
            ReportCell.Scientific(Mean(cell => cell.OperationsPerSample.Paper)), ReportCell.Scientific(Mean(cell => cell.OperationsPerSample.Confidence)),
            ReportCell.MeanAndDeviation(Values(cell => cell.Latency?.Ratio.Value), 2),
        ];

        string At(IReadOnlyList<int> layers) => $"{string.Join(", ", layers)} of {plan.Depth}";
        double[] Values(Func<GenerationSummary, double?> value) => [.. cells.Select(value).OfType<double>()];
        double? Mean(Func<GenerationSummary, double> value) => cells.Length == 0 ? null : cells.Average(value);
    }

    private IReadOnlyList<ReportCell> GainRow(ReproductionPlan plan, int layer)
    {
        return
        [
            ReportCell.Text(plan.Model), ReportCell.Text(data.Settings.Data.File), ReportCell.Text(At(layer, plan)),
            Gain("fixed", cell => cell.OperationsPerSample.Paper), Gain("decaying", cell => cell.OperationsPerSample.Paper),
            Gain("fixed", cell => cell.OperationsPerSample.Confidence), Gain("decaying", cell => cell.OperationsPerSample.Confidence),
            Gain("fixed", cell => cell.Latency?.Ratio.Value), Gain("decaying", cell => cell.Latency?.Ratio.Value),
        ];

        ReportCell Gain(string pruning, Func<GenerationSummary, double?> number)
        {
            double? value = Find("none") is { } none && Find(pruning) is { } pruned ? number(none) / number(pruned) : null;
            return ReportCell.Number(value, 2);
        }

        GenerationSummary? Find(string pruning) => data.Find(plan, ReproductionPlan.Name("softmax", pruning, layer))?.Generation;
    }

    private IEnumerable<IReadOnlyList<ReportCell>> PublishedRows(PublishedNumbers.Bars bars)
    {
        yield return
        [
            ReportCell.Text($"paper, T5-large {bars.Model}"), ReportCell.Text($"{bars.MinimumLayer} of {PaperLayers.Depth}"),
            .. bars.Quality.Select(value => ReportCell.Number(value)), .. bars.Operations.Select(value => ReportCell.Scientific(value)),
            .. bars.Quality.Select(_ => ReportCell.Number(null)),
        ];
        foreach (ReproductionPlan plan in data.Plans.Where(plan => ReportData.StandsFor(plan.Model, bars.IsFineTuned)))
        {
            int layer = PaperLayers.Scale(bars.MinimumLayer, plan.Depth);
            GenerationSummary?[] cells =
                [.. PublishedNumbers.Prunings.Select(pruning => data.Find(plan, ReproductionPlan.Name("softmax", pruning, layer))?.Generation)];
            yield return
            [
                ReportCell.Text(plan.Model), ReportCell.Text(At(layer, plan)), .. cells.Select(cell => ReportCell.Number(cell?.Primary.Percent.Value)),
                .. cells.Select(cell => ReportCell.Scientific(cell?.OperationsPerSample.Paper)),
                .. cells.Select(cell => ReportCell.Number(cell?.Latency?.Ratio.Value)),
            ];
        }
    }

    private IEnumerable<IReadOnlyList<ReportCell>> LateRows(PublishedNumbers.Comparison published)
    {
        yield return
        [
            ReportCell.Text("paper, T5-large (pruning of the quality not stated)"), ReportCell.Text(ReportData.Words(published.Measure)),
            ReportCell.Text($"{PaperLayers.Late} of {PaperLayers.Depth}"), ReportCell.Number(published.Quality), ReportCell.Number(null),
            ReportCell.Scientific(published.Unpruned), ReportCell.Scientific(published.Pruned), ReportCell.Number(null), ReportCell.Number(null),
        ];
        foreach (ReproductionPlan plan in data.Plans)
        {
            GenerationSummary? none = data.Find(plan, ReproductionPlan.Name(published.Measure, "none", plan.Late))?.Generation;
            GenerationSummary? pruned = data.Find(plan, ReproductionPlan.Name(published.Measure, published.Pruning, plan.Late))?.Generation;
            yield return
            [
                ReportCell.Text(plan.Model), ReportCell.Text($"{ReportData.Words(published.Measure)}, pruned: {published.Pruning}"),
                ReportCell.Text(At(plan.Late, plan)), ReportCell.Number(none?.Primary.Percent.Value), ReportCell.Number(pruned?.Primary.Percent.Value),
                ReportCell.Scientific(none?.OperationsPerSample.Paper), ReportCell.Scientific(pruned?.OperationsPerSample.Paper),
                ReportCell.Number(none?.Latency?.Ratio.Value), ReportCell.Number(pruned?.Latency?.Ratio.Value),
            ];
        }
    }
}
