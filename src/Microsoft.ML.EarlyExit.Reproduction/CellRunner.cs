using System.Diagnostics;
using System.Text.Json;
using Microsoft.ML.EarlyExit.Evaluation.DataSets;
using Microsoft.ML.EarlyExit.Evaluation.Numerics;
using Microsoft.ML.EarlyExit.Exit;
using Microsoft.ML.EarlyExit.Generation;
using Microsoft.ML.EarlyExit.Scoring;

namespace Microsoft.ML.EarlyExit.Reproduction;

/// <summary>Computes the cells of one model.</summary>
/// <param name="model">The model.</param>
/// <param name="examples">The sample.</param>
/// <param name="options">The generation options, without a policy.</param>
/// <param name="latencyRows">How many rows are measured.</param>
/// <param name="seed">Of the resampling.</param>
/// <param name="fingerprint">The settings' fingerprint.</param>
/// <param name="cancellation">Ends a cell in the middle.</param>
internal sealed class CellRunner(
    EarlyExitModel model, IReadOnlyList<DataSetExample> examples, TextGenerationOptions options, int latencyRows, int seed, string fingerprint,
    CancellationToken cancellation)
{
    /// <summary>Computes a cell.</summary>
    /// <param name="cell">Which.</param>
    /// <param name="fullDepth">The cell at full depth; null for that cell itself.</param>
    /// <param name="progress">Is told, from 0 to 1, how much of the cell is done.</param>
    public CellRecord Run(PlannedCell cell, CellRecord? fullDepth, Action<double> progress)
    {
        var watch = Stopwatch.StartNew();
        (GenerationSummary? generation, IReadOnlyList<LayerSummary>? layers, CellRow[] rows) =
            cell.Kind == CellKind.Layers ? LookAtLayers(fullDepth!, progress) : Generate(cell.Policy, fullDepth, progress);
        return new CellRecord
        {
            Fingerprint = fingerprint,
            Model = cell.Model,
            Name = cell.Name,
            Title = cell.Title,
            Policy = ToJson(cell.Policy),
            Seconds = watch.Elapsed.TotalSeconds,
            Generation = generation,
            Layers = layers,
            Rows = rows,
        };
    }

    /// <summary>A policy as its file has it; null for full depth.</summary>
    public static JsonElement? ToJson(ExitPolicy? policy) => policy is null ? null : JsonElement.Parse(ExitPolicyJson.Write(policy));

    private (GenerationSummary, IReadOnlyList<LayerSummary>?, CellRow[]) Generate(ExitPolicy? policy, CellRecord? fullDepth, Action<double> progress)
    {
        TextGenerationOptions own = options with { Exit = policy };
        var results = new GenerationResult[examples.Count];
        // Rows that are measured are generated several times more, with the policy and at full depth.
        int measured = Math.Min(latencyRows, examples.Count);
        const int MeasuredSteps = 2 * LatencyMeasurement.Repetitions;
        double steps = examples.Count + (MeasuredSteps * measured);
        int done = 0;
        using (GenerationBatch batch = model.StartBatch(own, own.BatchSize, Finish, cancellation))
        {
            for (int next = 0; next < examples.Count || batch.IsRunning;)
            {
                while (batch.HasFreeSlot && next < examples.Count)
                    batch.Start(GenerationInput.FromText(examples[next].Text), next++);
                if (batch.IsRunning)
                    batch.Step();
            }
        }

        LatencySummary? latency = Measure(own, results, measured, () => progress((done += MeasuredSteps) / steps));
        CellRow[] rows = [.. results.Select((result, row) => ToRow(result, examples[row], fullDepth?.Rows[row], isFullDepth: fullDepth is null))];
        return (Summarize(results, rows, latency), null, rows);

        void Finish(long row, GenerationResult result)
        {
            results[row] = result;
            progress(++done / steps);
        }
    }

    private LatencySummary? Measure(TextGenerationOptions own, GenerationResult[] results, int measured, Action progress)
    {
        using var measurement = new LatencyMeasurement(model, own, cancellation);
        for (int row = 0; row < measured; row++)
        {
            // Spread over the sample.
            int at = (int)((long)row * examples.Count / measured);
            if (results[at].StopReason != StopReason.Error)
                measurement.Add(model.Prepare(GenerationInput.FromText(examples[at].Text), own));
            progress();
        }

        return measurement.Summarize(seed);
    }

    private static CellRow ToRow(GenerationResult result, DataSetExample example, CellRow? fullDepth, bool isFullDepth)
    {
        bool isError = result.StopReason == StopReason.Error;
        return new CellRow
        {
            Id = example.Id,
            Text = result.Text,
            TokenIds = isFullDepth ? result.TokenIds : null,
            Tokens = result.TokenIds.Count,
            MeanExitLayer = result.ExitLayers.Count == 0 ? null : result.ExitLayers.Average(),
            Scores = isError ? [.. SampleQuality.MetricNames(example.AreAnswers).Select(_ => 0.0)] : SampleQuality.Score(result.Text ?? "", example),
            IsFullDepths = !isError && (isFullDepth || (fullDepth is { Error: null, TokenIds: { } ids } && ids.SequenceEqual(result.TokenIds))),
            Error = isError ? result.Error : null,
        };
    }

    private GenerationSummary Summarize(GenerationResult[] results, CellRow[] rows, LatencySummary? latency)
    {
        long[] exits = new long[model.Configuration.DecoderLayerCount];
        foreach (int layer in results.SelectMany(result => result.ExitLayers))
            exits[layer - 1]++;
        long tokens = exits.Sum();
        IReadOnlyList<string> metrics = SampleQuality.MetricNames(examples[0].AreAnswers);
        return new GenerationSummary
        {
            Samples = rows.Length,
            Errors = rows.Count(row => row.Error is not null),
            CutInputs = results.Count(result => result.CutInputTokens > 0),
            Tokens = tokens,
            Quality = [.. metrics.Select((name, index) => new MetricSummary(name, Bootstrap.Mean([.. rows.Select(row => row.Scores[index])], seed)))],
            Agreement = Bootstrap.Mean([.. rows.Select(row => row.IsFullDepths ? 100.0 : 0)], seed),
            MeanExitLayer = tokens == 0 ? null : exits.Select((count, index) => (index + 1.0) * count).Sum() / tokens,
            ExitLayers = exits,
            OperationsPerSample = OperationSummary.Mean(results.Aggregate(default(OperationCounts), (sum, result) => sum + result.Operations), rows.Length),
            Latency = latency,
        };
    }

    private (GenerationSummary?, IReadOnlyList<LayerSummary>, CellRow[]) LookAtLayers(CellRecord fullDepth, Action<double> progress)
    {
        int depth = model.Configuration.DecoderLayerCount;
        var ranks = new List<double>[depth];
        foreach (ref List<double> layer in ranks.AsSpan())
            layer = [];
        double[] confidences = new double[depth];
        var rows = new CellRow[examples.Count];
        using var scorer = new LayerScorer(model, measure: null);
        for (int row = 0; row < rows.Length; row++)
        {
            cancellation.ThrowIfCancellationRequested();
            rows[row] = LookAt(scorer, examples[row], fullDepth.Rows[row], ranks, confidences);
            progress((row + 1.0) / rows.Length);
        }

        return (null, [.. ranks.Select((layer, index) => Summarize(index + 1, layer, confidences[index]))], rows);
    }

    private CellRow LookAt(LayerScorer scorer, DataSetExample example, CellRow fullDepth, List<double>[] ranks, double[] confidences)
    {
        string? error = fullDepth.Error;
        int[] target = [.. fullDepth.TokenIds ?? []];
        if (error is null && target.Length > 0)
        {
            PreparedInput input = model.Prepare(GenerationInput.FromText(example.Text), options);
            try
            {
                IReadOnlyList<LayerScore> scores = scorer.Score(input.TokenIds, target);
                for (int index = 0; index < ranks.Length; index++)
                {
                    ranks[index].AddRange(scores[index].Rank.Select(rank => (double)rank));
                    confidences[index] += scores[index].Confidence.Sum(confidence => (double)confidence);
                }
            }
            catch (InvalidOperationException exception)
            {
                error = exception.Message;
            }
        }

        return new CellRow
        {
            Id = example.Id,
            Text = null,
            TokenIds = null,
            Tokens = error is null ? target.Length : 0,
            MeanExitLayer = null,
            Scores = [],
            IsFullDepths = error is null,
            Error = error,
        };
    }

    private static LayerSummary Summarize(int layer, List<double> ranks, double confidence)
    {
        ranks.Sort();
        return new LayerSummary
        {
            Layer = layer,
            Tokens = ranks.Count,
            MeanConfidence = ranks.Count == 0 ? 0 : confidence / ranks.Count,
            ShareOfRankZero = ranks.Count == 0 ? 0 : ranks.Count(rank => rank == 0) / (double)ranks.Count,
            RankQuantiles = ranks.Count == 0 ? [] : [.. new[] { 0, 0.05, 0.25, 0.5, 0.75, 0.95, 1 }.Select(share => SortedNumbers.Quantile(ranks, share))],
        };
    }
}
