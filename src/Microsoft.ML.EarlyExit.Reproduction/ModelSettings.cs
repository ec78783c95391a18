namespace Microsoft.ML.EarlyExit.Reproduction;

/// <summary>One model and what is done with it.</summary>
/// <param name="Name">Its name in the report.</param>
/// <param name="Bundle">The bundle folder's name, without its parents.</param>
/// <param name="Sha256">SHA-256 of the bundle's manifest, which has those of all other files.</param>
/// <param name="DecoderLayers">Its decoder layers, L.</param>
/// <param name="MaxNewTokens">After how many tokens a row ends at the latest.</param>
/// <param name="Cells">Its cells.</param>
internal sealed record ModelSettings(string Name, string Bundle, string Sha256, int DecoderLayers, int MaxNewTokens, IReadOnlyList<CellSettings> Cells);
