namespace Microsoft.ML.EarlyExit;

/// <summary>Layers that may be the amateur of an expert at layer l.</summary>
public enum AmateurLayers
{
    /// <summary>j to l - 1, as the paper has it: no LM head below the minimum exit layer j.</summary>
    FromMinimumLayer,

    /// <summary>2 to l - 1, as the published code has it: the LM head is multiplied below the minimum exit layer too.</summary>
    All,
}
