using System.Globalization;
using System.Text;
using Microsoft.ML.EarlyExit.Reproduction.Figures;

namespace Microsoft.ML.EarlyExit.Reproduction;

/// <summary>Writes tables, figures and the page that holds them together.</summary>
internal sealed class Report(ReportData data)
{
    private readonly ReportTables _tables = new(data);
    private readonly ReportFigures _figures = new(data);

    /// <summary>Writes the report of the cells that are finished.</summary>
    /// <param name="folder">Where it goes.</param>
    /// <param name="withFigures">Whether figures are drawn; the page leaves them out otherwise.</param>
    public void Write(ReproductionFolder folder, bool withFigures)
    {
        foreach (ReportTable table in _tables.All)
        {
            folder.WriteText(Path.Combine("tables", $"{table.Name}.md"), $"# {table.Title}\n\n{table.ToMarkdown()}");
            folder.WriteText(Path.Combine("tables", $"{table.Name}.csv"), table.ToCsv());
        }

        if (withFigures)
        {
            foreach (Figure figure in _figures.All)
                figure.Save(folder.Figures);
        }

        folder.WriteText("README.md", ToMarkdown(withFigures));
    }

    private string ToMarkdown(bool withFigures)
    {
        var page = new StringBuilder();
        SampleSettings sample = data.Settings.Data;
        Text($"# The paper's experiments on {sample.File}");
        Text("The paper is [*Optimizing Predictions: Vocabulary Reduction and Contrastive Decoding in LLMs*](https://github.com/joanvelja/Confidently_Exiting) "
            + "by Karim Abdel Sadek, Gabriele Desimini, Matteo Nulli, Joan Velja and Jort Vincenti, 2024.");
        int missing = data.PlannedCells - data.Cells.Count;
        if (missing > 0)
            Text($"**This run is not finished: {data.Cells.Count} of {data.PlannedCells} cells are.** The command below, given again, computes the rest.");
        Settings();
        Reading();
        Failures();

        Text("## Full depth");
        Table(_tables.Baseline);

        Text("## Figure 1: where the final token ranks");
        Text("The rank, from 0, that each layer gives the token full depth chose, over all tokens of full depth's own outputs. "
            + "Boxes are quartiles, whiskers the 5th and 95th hundredth.");
        Figures([_figures.Ranks]);
        Folded(_tables.Ranks);

        Text(data.AreAnswers ? "## Figures 2 and 3: confidence against quality" : "## Confidence against quality (the paper's figures 2 and 3 are of SQuAD)");
        Text("The mean softmax margin of each layer, over the tokens of full depth's outputs, and the quality when every token exits after that layer.");
        Figures(_figures.Confidences);
        Folded(_tables.Confidences);

        Text($"## Figure {Unpadded(4)}: softmax with pruning");
        Text($"The paper's figure has minimum layer {PaperLayers.PreTrained} for the model that is not fine-tuned and {PaperLayers.FineTuned} for the "
            + "fine-tuned one, and no adaptive pruning. Here every model has both minimum layers.");
        Figures([_figures.SoftmaxPruning]);
        Table(_tables.SoftmaxPruning);

        Text($"## Figure {Unpadded(6)}: measures by minimum exit layer");
        Text("The three measures without pruning, beside full depth; the numbers are in the table of all minimum layers below.");
        Figures(_figures.Measures);
        Text($"## Figure {Unpadded(8)}: softmax and JSD, unpruned and pruned");
        Text($"The paper's text says that the minimum layer of figures 8 and 9 is {PaperLayers.Late}, and so does the caption of figure 9; the caption of "
            + $"figure 8 says {PaperLayers.PreTrained} and {PaperLayers.FineTuned}. All three were run.");
        Figures([_figures.Compared]);
        Table(_tables.Compared);

        Text("## Table 1: JSD with pruning");
        Text($"The mean over minimum layers {string.Join(", ", PaperLayers.Table1)} of the paper's {PaperLayers.Depth} ± the sample standard deviation. "
            + "(The text names these five; the table's caption says the last four.) Layers that fall together in a model of fewer layers count once.");
        Table(_tables.Table1);

        Text($"## Figures {data.Number(10)} and {data.Number(12)}: JSD with pruning, and baselines against adaptive pruning");
        Figures([.. _figures.Prunings, .. _figures.Baselines]);
        Folded(_tables.Curves);

        Published();
        Text("## Files");
        Text("`settings.json`: everything that the numbers depend on, every policy included. "
            + "`cells`: one file per cell, with its policy, its rows and its sums. "
            + "`tables`: every table above as Markdown and CSV, and `cells.csv` with every number of every cell. `figures`: PNG, SVG, and the numbers as CSV.");
        return page.ToString();

        void Text(string text) => page.Append(text).Append("\n\n");

        void Table(ReportTable table) => page.Append(table.ToMarkdown()).Append('\n');

        void Folded(ReportTable table) =>
            page.Append($"<details><summary>{table.Title}</summary>\n\n").Append(table.ToMarkdown()).Append("\n</details>\n\n");

        void Figures(IEnumerable<Figure> figures)
        {
            foreach (Figure figure in figures.Where(_ => withFigures))
                Text($"![{figure.Title}](figures/{figure.Name}.png)");
        }

        void Settings()
        {
            ReproductionSettings settings = data.Settings;
            Text($"```\n{data.Command}\n```");
            foreach (ModelSettings model in settings.Models)
            {
                ReproductionPlan plan = data.Plans.Single(plan => plan.Model == model.Name);
                page.Append($"- Model **{model.Name}**: `{model.Bundle}`, {model.DecoderLayers} decoder layers, at most {model.MaxNewTokens} new tokens, ");
                page.Append($"SHA-256 of its manifest `{model.Sha256}`. ");
                page.Append($"Layers scaled from the paper's {PaperLayers.Depth}: {Scaled(plan)}.\n");
            }

            page.Append($"- Data: `{sample.File}` ({sample.Format}), SHA-256 `{sample.Sha256}`; {Sample(sample)}\n");
            page.Append($"- Threshold {settings.Threshold.ToString(CultureInfo.InvariantCulture)}, state copying, ");
            page.Append("contrastive measures with alpha 0.1 and amateurs from the minimum layer on; ");
            page.Append("the fixed k and the adaptive K are the decaying function's value at the minimum layer (k max 35000, k min 250).\n");
            page.Append($"- Options: `{Compact(settings.Options.GetRawText())}`. ");
            page.Append("The published code also applies a repetition penalty of 1.2, which its options do not show; here it is as stated.\n");
            page.Append($"- Machine: {settings.Machine.Processor}, {settings.Machine.Threads} threads, {settings.Machine.OperatingSystem}, ");
            page.Append($"{settings.Machine.Runtime}; ");
            page.Append($"version {settings.Version}, fp32, batch {settings.Batch}.\n\n");
        }

        void Reading()
        {
            string metrics = data.AreAnswers
                ? "F1 and exact match, the best over the answers"
                : "ROUGE F-measures without stemming, the best over the references";
            Text($"Quality is in percent ({metrics}); the numbers in brackets are 95 % bootstrap intervals "
                + $"({data.Settings.BootstrapReplicates} replicates over the sample's rows). "
                + (data.Cells.Values.FirstOrDefault(cell => cell.Generation is not null)?.Rows.Count < 100 ? "With so few rows they are rough. " : "")
                + "*Same as full depth* is the share of outputs that are full depth's to the token. FLOPs are means per sample: "
                + "*the paper's count* is d²·k for each confidence, as the published code counts (with pruning without each token's first, and with adaptive "
                + "pruning for V(1 - 0.9c) rows even where fewer are alive); *exact* counts every product, a multiplication and its addition as 2; "
                + "*in all* is decoder, state propagation, confidences and head, without the encoder.");
            Text($"Times are at batch 1 after a warm-up, over up to {data.Settings.LatencyRows} rows spread over the sample, without the encoder "
                + "(the CSV files have both). Machines drift, so every measured row was generated at full depth directly beside: "
                + "policy, full depth, full depth, policy; the shorter of the two times counts. "
                + "*Time against full depth* is the policy's time per token divided by full depth's of the same rows, below 1 where exiting early saves time. "
                + "It is the time of a token, not of a sample: a policy may generate more or fewer of them, which *tokens per sample* shows. "
                + "The row of full depth is measured against itself and shows the noise.");
        }

        void Failures()
        {
            CellRecord[] failed =
            [
                .. data.Plans
                    .SelectMany(plan => plan.Cells.Select(cell => data.Find(plan, cell.Name)))
                    .OfType<CellRecord>()
                    .Where(cell => cell.Rows.Any(row => row.Error is not null)),
            ];
            if (failed.Length > 0)
            {
                Text("**Some rows failed.** They count 0 in quality, and their cells' files say why:");
                foreach (CellRecord cell in failed)
                    page.Append($"- {cell.Model}, {cell.Title}: {cell.Rows.Count(row => row.Error is not null)} of {cell.Rows.Count} rows\n");
                page.Append('\n');
            }

            int cut = data.Plans.Max(plan => data.Find(plan, ReproductionPlan.FullDepth)?.Generation?.CutInputs ?? 0);
            if (cut > 0)
                Text($"{cut} of {sample.Samples} inputs are longer than the options allow and were cut.");
        }

        void Published()
        {
            Text("## The paper's published numbers");
            if (data.Published is { } published)
            {
                Text($"The paper's numbers are of T5-large on {published.DataSet}: the first table's on the whole data set, table 1 and minimum layer 19 on "
                    + "100 samples. Another model, another sample, other generation options or fewer layers make other numbers. "
                    + $"Source: {PublishedNumbers.Source}. The paper has no times.");
                foreach (ReportTable table in _tables.PublishedTables(published))
                {
                    Text($"### {table.Title}");
                    Table(table);
                }
            }
            else
            {
                Text("The paper has no numbers for this data set; its data sets are SQuAD and SamSum.");
            }

            Text($"### {_tables.PruningGain.Title}");
            Text("Of other models and data only the proportions can be set side by side, and they too depend on depth, vocabulary and minimum layer.");
            Table(_tables.PruningGain);
        }

        string Unpadded(int ofAnswers) => data.Number(ofAnswers).TrimStart('0');
    }

    private static string Scaled(ReproductionPlan plan) =>
        string.Join(", ", PaperLayers.Curves.Select(layer => $"{layer} → {PaperLayers.Scale(layer, plan.Depth)}"))
        + " (layer · L / 24, halves rounded up, at least 1 and below L)";

    private static string Sample(SampleSettings sample) => sample.Samples == sample.Examples
        ? $"all {sample.Examples} examples."
        : $"{sample.Samples} of {sample.Examples} examples, drawn with seed {sample.Seed}, the same for all cells and models.";

    private static string Compact(string json) =>
        string.Join(' ', json.Split(['\r', '\n'], StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries));
}
