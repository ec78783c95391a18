using Microsoft.ML.EarlyExit;
using Microsoft.ML.EarlyExit.Interop;

namespace Microsoft.ML;

/// <summary>Scores of every decoder layer, in <c>mlContext.Transforms.Text</c>.</summary>
public static class LayerScoringCatalog
{
    /// <summary>Creates a <see cref="LayerScoringEstimator"/>, which puts what every decoder layer would have chosen for a target, the likeliest ids, into a
    /// new column.</summary>
    /// <remarks>Load models from trusted sources only.</remarks>
    /// <param name="catalog">The catalog.</param>
    /// <param name="argMaxColumnName">The column that receives the ids; see <see cref="LayerScoringEstimator.Options.ArgMaxColumnName"/>.</param>
    /// <param name="inputColumnName">The column of inputs, text or token ids.</param>
    /// <param name="targetColumnName">The column of targets, text or token ids.</param>
    /// <param name="modelPath">The model bundle's folder.</param>
    /// <param name="options">How inputs are read; see <see cref="LayerScoringEstimator.Options.GenerationOptions"/>. Null for the defaults.</param>
    /// <returns>The estimator.</returns>
    /// <exception cref="ArgumentException">A name or the path is empty.</exception>
    /// <example>
    /// <code>
    /// var pipeline = mlContext.Transforms.Text.ScoreLayers("LayerIds", "Dialogue", "Summary", modelPath: "t5-samsum",
    ///     new TextGenerationOptions { Prefix = "summarize: " });
    /// </code>
    /// </example>
    public static LayerScoringEstimator ScoreLayers(
        this TransformsCatalog.TextTransforms catalog,
        string argMaxColumnName,
        string inputColumnName,
        string targetColumnName,
        string modelPath,
        TextGenerationOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(argMaxColumnName);
        ArgumentNullException.ThrowIfNull(modelPath);
        return catalog.ScoreLayers(new LayerScoringEstimator.Options
        {
            ArgMaxColumnName = argMaxColumnName,
            InputColumnName = inputColumnName,
            TargetColumnName = targetColumnName,
            ModelPath = modelPath,
            GenerationOptions = options,
        });
    }

    /// <summary>Creates a <see cref="LayerScoringEstimator"/> with everything it can be given.</summary>
    /// <remarks>Load models from trusted sources only.</remarks>
    /// <param name="catalog">The catalog.</param>
    /// <param name="options">The columns, the model, and the measure.</param>
    /// <returns>The estimator.</returns>
    /// <exception cref="ArgumentException">No column of scores is named, a name or the path is empty, two columns have one name, or there is no model or
    /// two.</exception>
    public static LayerScoringEstimator ScoreLayers(this TransformsCatalog.TextTransforms catalog, LayerScoringEstimator.Options options)
    {
        ArgumentNullException.ThrowIfNull(catalog);
        ArgumentNullException.ThrowIfNull(options);
        return new LayerScoringEstimator(MLNetInterop.GetEnvironment(catalog), options);
    }
}
