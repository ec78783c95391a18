namespace Microsoft.ML.EarlyExit.Benchmarks;

/// <summary>Every kind of input; their shares come to 100.</summary>
internal static class HostileKinds
{
    public static IReadOnlyList<HostileKind> All(HostileSeeds seeds) =>
    [
        new CheckpointKind(seeds), new VocabularyKind(seeds), new BundleKind(seeds), new PipelineKind(seeds), new JsonKind(seeds), new ToolKind(seeds),
    ];
}
