using Microsoft.ML.EarlyExit;
using Microsoft.ML.EarlyExit.Evaluation.Metrics;

namespace Microsoft.ML;

/// <summary>Evaluation of generated texts, in <c>mlContext.TextGeneration</c>.</summary>
public static class TextGenerationEvaluationCatalog
{
    /// <param name="catalog">The catalog.</param>
    extension(TextGenerationOperationsCatalog catalog)
    {
        /// <summary>Evaluates generated texts against references: ROUGE, SQuAD's exact match and F1, BLEU and chrF.</summary>
        /// <remarks>The data is read once, and its rows are not kept. See the other overload for agreement with full depth, exit statistics and confidence
        /// intervals.</remarks>
        /// <param name="data">The rows; what a text generation generates when it is read is generated now.</param>
        /// <param name="labelColumnName">The column of references: a text, or a vector of texts of which any may be right.</param>
        /// <param name="predictionColumnName">The column of generated texts.</param>
        /// <param name="cancellationToken">Ends the evaluation between rows, and within a row of huge texts in a fraction of a second.</param>
        /// <returns>The metrics.</returns>
        /// <exception cref="ArgumentNullException">An argument is null.</exception>
        /// <exception cref="ArgumentOutOfRangeException">A column is missing, or of another type.</exception>
        /// <exception cref="OperationCanceledException">Cancellation was requested.</exception>
        /// <example>
        /// <code>
        /// TextGenerationMetrics metrics = mlContext.TextGeneration.Evaluate(model.Transform(test), labelColumnName: "Reference", predictionColumnName:
        /// "Summary"); Console.WriteLine(metrics.Rouge!.Value.RougeL.FMeasure);
        /// </code>
        /// </example>
        public TextGenerationMetrics Evaluate(
            IDataView data, string labelColumnName, string predictionColumnName, CancellationToken cancellationToken = default)
        {
            ArgumentNullException.ThrowIfNull(labelColumnName);
            ArgumentNullException.ThrowIfNull(predictionColumnName);
            return catalog.Evaluate(
                data,
                new TextGenerationEvaluationOptions { LabelColumnName = labelColumnName, PredictionColumnName = predictionColumnName },
                cancellationToken);
        }

        /// <summary>Evaluates generated texts, and how they were generated.</summary>
        /// <remarks>
        /// <para>The data is read once, by one cursor, and its rows are not kept: memory does not grow with their number.</para>
        /// <para>A row without prediction or reference, or whose generation failed, is a bad one: it is counted, described in the context's log, and has no
        /// part in the figures, unless <see cref="TextGenerationEvaluationOptions.ThrowOnBadRows"/> makes it an exception.</para>
        /// </remarks>
        /// <param name="data">The rows; what a text generation generates when it is read is generated now.</param>
        /// <param name="options">The columns, the metrics, and how they are computed.</param>
        /// <param name="cancellationToken">Ends the evaluation between rows, and within a row of huge texts in a fraction of a second.</param>
        /// <returns>The metrics.</returns>
        /// <exception cref="ArgumentNullException">An argument is null.</exception>
        /// <exception cref="ArgumentException">The options ask for nothing, or for something whose column they do not name.</exception>
        /// <exception cref="ArgumentOutOfRangeException">A column is missing, or of another type.</exception>
        /// <exception cref="InvalidOperationException">A row is bad, and the options make that an exception; or a row could not be generated, and no column
        /// tells.</exception>
        /// <exception cref="OperationCanceledException">Cancellation was requested.</exception>
        public TextGenerationMetrics Evaluate(IDataView data, TextGenerationEvaluationOptions options, CancellationToken cancellationToken = default)
        {
            ArgumentNullException.ThrowIfNull(catalog);
            ArgumentNullException.ThrowIfNull(data);
            ArgumentNullException.ThrowIfNull(options);
            return TextGenerationEvaluation.Evaluate(catalog.Context, data, options, cancellationToken);
        }

        /// <summary>Adds every row's scores to it, as columns.</summary>
        /// <remarks>
        /// <para>The columns are <c>Rouge1</c>, <c>Rouge2</c>, <c>RougeL</c> and <c>RougeLsum</c>, vectors of three <see cref="double"/> whose slots are named
        /// Precision, Recall and FMeasure; <c>ExactMatch</c> and <c>F1</c>, 0 to 1; and, with a column of the full model's texts, <c>AgreementExact</c>,
        /// <c>AgreementRougeL</c> and <c>AgreementF1</c>, 0 to 1: those that the options ask for. BLEU and chrF are metrics of a whole corpus and have no
        /// column. <c>EvaluationProblem</c> is empty, or says why the row has no scores, which are NaN then.</para>
        /// <para>Rows are scored when a score is read, and again when it is read again.</para>
        /// </remarks>
        /// <param name="data">The rows.</param>
        /// <param name="options">The columns, the metrics, and how they are computed; what is said of the whole, such as a bootstrap, has no meaning
        /// here.</param>
        /// <param name="cancellationToken">Ends the scoring of a row of huge texts in a fraction of a second, and with it the reading.</param>
        /// <returns>The rows with their scores.</returns>
        /// <exception cref="ArgumentNullException">An argument is null.</exception>
        /// <exception cref="ArgumentException">The options ask for no score.</exception>
        /// <exception cref="ArgumentOutOfRangeException">A column is missing, or of another type.</exception>
        public IDataView EvaluateRows(IDataView data, TextGenerationEvaluationOptions options, CancellationToken cancellationToken = default)
        {
            ArgumentNullException.ThrowIfNull(data);
            ArgumentNullException.ThrowIfNull(options);
            return new EvaluatedDataView(data, options, cancellationToken);
        }
    }
}
