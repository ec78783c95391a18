namespace Microsoft.ML;

/// <summary>Text generation in an <see cref="MLContext"/>.</summary>
public static class TextGenerationContextExtensions
{
    /// <param name="mlContext">The context.</param>
    extension(MLContext mlContext)
    {
        /// <summary>What can be done with text generation beside generating, which is in <c>Transforms.Text</c>.</summary>
        public TextGenerationOperationsCatalog TextGeneration => new(mlContext ?? throw new ArgumentNullException(nameof(mlContext)));
    }
}
