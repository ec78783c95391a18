namespace Microsoft.ML.EarlyExit.Tests;

internal enum DefinedMeasure
{
    Margin,
    Saturation,
    Weighted,
    Jsd,
}
