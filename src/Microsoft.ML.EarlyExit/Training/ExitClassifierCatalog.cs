using Microsoft.ML.EarlyExit;
using Microsoft.ML.EarlyExit.Training;

namespace Microsoft.ML;

/// <summary>Training of exit classifiers, in <c>mlContext.TextGeneration</c>.</summary>
public static class ExitClassifierCatalog
{
    /// <param name="catalog">The catalog.</param>
    extension(TextGenerationOperationsCatalog catalog)
    {
        /// <summary>Trains an exit classifier: a linear probe that tells from a hidden state whether the layer would choose the last layer's token.</summary>
        /// <remarks>
        /// <para>For every token of every target, and every layer from the minimum exit layer to L - 1, the example is the hidden state after the layer, as
        /// decoding the target at full depth has it; its label is whether the likeliest token there, over the full vocabulary, is the last layer's. The model
        /// runs once for every row, one row at a time; where targets have to be generated, that comes first, batched.</para>
        /// <para>All examples are held in memory, 4 · d bytes for each; see <see cref="ExitClassifierOptions.MaxTokensPerRow"/>. The log of the context
        /// tells how much that is, how far the work is, and of inputs and targets that had to be cut.</para>
        /// <para>With one probe per layer, a layer whose training examples all have one label gets a probe of constant confidence (n₁ + 1) / (n + 2), for n₁ of
        /// n examples that agree, and the log has a warning.</para>
        /// <para>The same data, options and seeds give the same classifier, with trainers of which that is true, as of the default one.</para>
        /// </remarks>
        /// <param name="data">The rows.</param>
        /// <param name="options">The model, the columns, and how the classifier is trained.</param>
        /// <param name="cancellationToken">Ends the training: within milliseconds while rows are run, between batches while targets are generated, and between
        /// two layers' probes.</param>
        /// <returns>The classifier, with its measures on held-out rows.</returns>
        /// <exception cref="ArgumentNullException">An argument is null.</exception>
        /// <exception cref="ArgumentOutOfRangeException">A column is missing, or holds neither text nor a vector of ids.</exception>
        /// <exception cref="ArgumentException">There is no model or two, a name is empty, the minimum layer does not fit the model, or the trainer gives
        /// something else than a linear binary classifier.</exception>
        /// <exception cref="DirectoryNotFoundException">There is no folder at the model's path.</exception>
        /// <exception cref="InvalidModelException">The bundle is damaged, or lacks the tokenizer that a column of texts needs.</exception>
        /// <exception cref="InvalidOperationException">There is no row to train on, all layers agree with the last one on all examples or none does, or a row
        /// cannot be used; the message names it.</exception>
        /// <exception cref="ObjectDisposedException">The model is disposed.</exception>
        /// <exception cref="OperationCanceledException">Cancellation was requested.</exception>
        /// <example>
        /// <code>
        /// ExitClassifier classifier = mlContext.TextGeneration.TrainExitClassifier(data, new ExitClassifierOptions
        /// {
        ///     ModelPath = "t5-samsum", InputColumnName = "Dialogue", GenerationOptions = new TextGenerationOptions { Prefix = "summarize: " },
        /// });
        /// classifier.Save("policy.json");
        /// </code>
        /// </example>
        public ExitClassifier TrainExitClassifier(IDataView data, ExitClassifierOptions options, CancellationToken cancellationToken = default)
        {
            ArgumentNullException.ThrowIfNull(catalog);
            ArgumentNullException.ThrowIfNull(data);
            ArgumentNullException.ThrowIfNull(options);
            return ExitClassifierTraining.Train(catalog.Context, data, options, cancellationToken);
        }
    }
}
