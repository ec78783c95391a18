using System.Diagnostics;
using Microsoft.ML.EarlyExit.Evaluation.DataViews;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.EarlyExit.Evaluation.Metrics;

/// <summary>Evaluates the rows of a data view in one pass.</summary>
internal static class TextGenerationEvaluation
{
    /// <summary>Bad rows that the log describes one by one.</summary>
    private const int DescribedBadRows = 10;

    public static TextGenerationMetrics Evaluate(
        IHostEnvironment environment, IDataView data, TextGenerationEvaluationOptions options, CancellationToken cancellationToken)
    {
        var columns = new EvaluationColumns(data.Schema, options);
        var totals = new EvaluationAccumulator(
            columns.CreateScorer(options),
            options.BootstrapSamples > 0 ? new PoissonBootstrap(options.BootstrapSamples, EvaluationTotals.Count, options.Seed) : null);
        var log = new ProgressLog(environment.Register("EvaluateTextGeneration"), "Evaluating generated text", TimeProvider.System);
        IChannel channel = log.Open();
        long reading = 0;
        long rows = 0;
        long bad = 0;
        try
        {
            using DataViewRowCursor cursor = data.GetRowCursor(columns.All);
            var reader = new EvaluationRowReader(cursor, columns);
            while (true)
            {
                cancellationToken.ThrowIfCancellationRequested();
                long started = Stopwatch.GetTimestamp();
                bool isRow = cursor.MoveNext();
                RowProblem problem = isRow ? reader.Read() : RowProblem.None;
                reading += Stopwatch.GetTimestamp() - started;
                if (!isRow)
                    break;
                if (problem == RowProblem.None)
                {
                    totals.Add(reader.Prediction, reader.References, reader.FullDepth, reader.ExitLayers, reader.Operations, cancellationToken);
                }
                else
                {
                    if (options.ThrowOnBadRows)
                        throw new InvalidOperationException(Describe(rows, columns, problem));
                    totals.AddBad(problem);
                    if (bad++ < DescribedBadRows)
                        channel.Warning(MessageSensitivity.None, Describe(rows, columns, problem));
                }

                rows++;
                log.Progress(() => $"Evaluated {rows} rows.");
            }

            if (rows == 0)
                channel.Warning(MessageSensitivity.None, "There is no row to evaluate: the data is empty.");
            else if (bad > DescribedBadRows)
                channel.Warning(MessageSensitivity.None, $"{bad} of {rows} rows cannot be evaluated; the first {DescribedBadRows} of them were described.");
            TextGenerationMetrics metrics = totals.ToMetrics(Stopwatch.GetElapsedTime(0, reading), options.ConfidenceLevel);
            SayWhatRougeMade(metrics, channel);
            return metrics;
        }
        finally
        {
            log.Close(null);
        }
    }

    private static void SayWhatRougeMade(TextGenerationMetrics metrics, IChannel channel)
    {
        if (metrics.RougeTexts is not { } texts)
            return;
        if (texts.DropsTooMuch)
        {
            channel.Warning(
                MessageSensitivity.None,
                $"{texts.DescribeDropped()} of the texts, and its scores know nothing of them: set RougeTokenizer to Unicode, or read chrF.");
        }

        if (metrics.Rouge is not null && texts.MostLines <= 1)
            channel.Info(MessageSensitivity.None, "Every text is of one line, on which ROUGE-Lsum is ROUGE-L; SplitSentences takes sentences for lines.");
    }

    /// <summary>A sentence about a row that cannot be evaluated.</summary>
    internal static string Describe(long row, EvaluationColumns columns, RowProblem problem) =>
        $"Row {row}, counted from 0, cannot be evaluated: {columns.Describe(problem)}.";
}
