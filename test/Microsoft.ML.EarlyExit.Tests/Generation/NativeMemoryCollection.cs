namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>Tests that count what the whole process holds run alone.</summary>
[CollectionDefinition("Native memory", DisableParallelization = true)]
public sealed class NativeMemoryCollection;
