namespace Microsoft.ML.EarlyExit.Reproduction;

/// <summary>What a cell of the protocol does with the sample.</summary>
internal enum CellKind
{
    /// <summary>Generates at full depth: what everything else is held against.</summary>
    FullDepth,

    /// <summary>Looks at what every layer says about full depth's own outputs.</summary>
    Layers,

    /// <summary>Generates with every token exiting after one layer.</summary>
    Static,

    /// <summary>Generates with an exit policy.</summary>
    EarlyExit,
}
