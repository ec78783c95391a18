namespace Microsoft.ML.EarlyExit.Tests;

internal enum DefinedCut
{
    None,
    Fixed,
    Decaying,
    Adaptive,
}
