using Microsoft.ML.EarlyExit;
using Microsoft.ML.EarlyExit.Interop;

namespace Microsoft.ML;

/// <summary>Text generation with early exit, in <c>mlContext.Transforms.Text</c>.</summary>
public static class TextGenerationCatalog
{
    /// <summary>Creates a <see cref="TextGenerationEstimator"/>, which generates text from the column <paramref name="inputColumnName"/> into a new
    /// column.</summary>
    /// <remarks>Load models from trusted sources only.</remarks>
    /// <param name="catalog">The catalog.</param>
    /// <param name="outputColumnName">The column that receives the generated text.</param>
    /// <param name="inputColumnName">The column to generate from, text or token ids; null for the one named <paramref name="outputColumnName"/>. A missing text
    /// gives a missing text, unless the options say otherwise.</param>
    /// <param name="modelPath">The model bundle's folder.</param>
    /// <param name="options">How text is generated, the exit policy included; null for the defaults.</param>
    /// <returns>The estimator.</returns>
    /// <exception cref="ArgumentException">A name or the path is empty, or the options ask for a trace, which has no column.</exception>
    /// <example>
    /// <code>
    /// var pipeline = mlContext.Transforms.Text.GenerateText("Summary", "Dialogue", modelPath: "t5-samsum",
    ///     new TextGenerationOptions { Prefix = "summarize: ", Exit = new ExitPolicy { MinimumLayer = 7, Threshold = 0.9f } });
    /// </code>
    /// </example>
    public static TextGenerationEstimator GenerateText(
        this TransformsCatalog.TextTransforms catalog,
        string outputColumnName,
        string? inputColumnName,
        string modelPath,
        TextGenerationOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(outputColumnName);
        ArgumentNullException.ThrowIfNull(modelPath);
        return catalog.GenerateText(new TextGenerationEstimator.Options
        {
            OutputColumnName = outputColumnName,
            InputColumnName = inputColumnName,
            ModelPath = modelPath,
            GenerationOptions = options,
        });
    }

    /// <summary>Creates a <see cref="TextGenerationEstimator"/> with everything it can be given.</summary>
    /// <remarks>Load models from trusted sources only.</remarks>
    /// <param name="catalog">The catalog.</param>
    /// <param name="options">The columns, the model, and how text is generated.</param>
    /// <returns>The estimator.</returns>
    /// <exception cref="ArgumentException">No generated column is named, a name or the path is empty, two columns have one name, there is no model or two, or
    /// the options ask for a trace, which has no column.</exception>
    public static TextGenerationEstimator GenerateText(this TransformsCatalog.TextTransforms catalog, TextGenerationEstimator.Options options)
    {
        ArgumentNullException.ThrowIfNull(catalog);
        ArgumentNullException.ThrowIfNull(options);
        return new TextGenerationEstimator(MLNetInterop.GetEnvironment(catalog), options);
    }

    /// <summary>Creates a <see cref="TextGenerationEstimator"/> over a model that is loaded already.</summary>
    /// <param name="catalog">The catalog.</param>
    /// <param name="outputColumnName">The column that receives the generated text.</param>
    /// <param name="inputColumnName">The column to generate from, text or token ids; null for the one named <paramref name="outputColumnName"/>. A missing text
    /// gives a missing text, unless the options say otherwise.</param>
    /// <param name="model">The model. It stays the caller's, to be disposed after everything that was made with it.</param>
    /// <param name="options">How text is generated, the exit policy included; null for the defaults.</param>
    /// <returns>The estimator.</returns>
    /// <exception cref="ArgumentException">A name is empty, or the options ask for a trace, which has no column.</exception>
    public static TextGenerationEstimator GenerateText(
        this TransformsCatalog.TextTransforms catalog,
        string outputColumnName,
        string? inputColumnName,
        EarlyExitModel model,
        TextGenerationOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(outputColumnName);
        ArgumentNullException.ThrowIfNull(model);
        return catalog.GenerateText(new TextGenerationEstimator.Options
        {
            OutputColumnName = outputColumnName,
            InputColumnName = inputColumnName,
            Model = model,
            GenerationOptions = options,
        });
    }
}
