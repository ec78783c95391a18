namespace Microsoft.ML.EarlyExit;

/// <summary>The components that are saved in ML.NET's models.</summary>
internal enum SavedComponent
{
    TextGeneration,
    LayerScoring,
}
