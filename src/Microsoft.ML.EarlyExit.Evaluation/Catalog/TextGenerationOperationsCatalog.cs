namespace Microsoft.ML;

/// <summary>What can be done with text generation beside generating, in <c>mlContext.TextGeneration</c>: each operation is an extension of it.</summary>
public sealed class TextGenerationOperationsCatalog
{
    internal TextGenerationOperationsCatalog(MLContext context) => Context = context;

    internal MLContext Context { get; }
}
