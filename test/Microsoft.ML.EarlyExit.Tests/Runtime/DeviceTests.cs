using Microsoft.ML.EarlyExit.Conversion;
using Microsoft.ML.EarlyExit.Files;
using Microsoft.ML.EarlyExit.Model.Bundle;
using Microsoft.ML.EarlyExit.Runtime;
using Microsoft.ML.OnnxRuntime;

namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>What runs on a GPU, with the CPU provider in its place: its graphs, its memory and the way between it and the host's.</summary>
[Collection("Native memory")]
public sealed class DeviceTests : IDisposable
{
    private readonly TemporaryFolder _folder = new(Path.GetTempPath());

    public static TheoryData<string, string, int> Cases =>
    [
        .. from policy in StoredWeightsPolicies.All.Keys
           from model in (string[])[TestModels.Exits, "tiny-v10", "tiny-v11", "tiny-buckets"]
           from slots in (int[])[1, 3]
           select new TheoryDataRow<string, string, int>(policy, model, slots),
    ];

    public void Dispose() => _folder.Dispose();

    [Theory]
    [MemberData(nameof(Cases))]
    public void A_device_generates_what_the_host_does(string policy, string name, int slots)
    {
        using EarlyExitModel device = Load(TestModels.Bundle(name));
        EarlyExitModel host = TestModels.Model(name);
        var options = new TextGenerationOptions
        {
            MaxNewTokens = 100, MinNewTokens = 70, BatchSize = slots, Exit = StoredWeightsPolicies.All[policy], Trace = true,
        };
        GenerationInput[] rows = [.. Enumerable.Range(0, 5).Select(row => GenerationInput.FromTokenIds([.. Ids(row), 1]))];
        IReadOnlyList<GenerationResult> expected = host.Generate(rows, options, TestContext.Current.CancellationToken);
        AssertEqual(expected, device.Generate(rows, options, TestContext.Current.CancellationToken));

        static IEnumerable<int> Ids(int row) => Enumerable.Range(1, 4 + (31 * row)).Select(id => 5 + (id * (row + 3) % 60));
    }

    internal static ExecutionDevice StandIn { get; } = new(_ => { }, () => OrtMemoryInfo.DefaultInstance, MultipliesBFloat16: false);

    internal static EarlyExitModel Load(string bundle) => EarlyExitModel.Load(ModelBundle.Open(bundle, copyWeights: false), new EarlyExitModelOptions(), StandIn);

    private static void AssertEqual(IReadOnlyList<GenerationResult> expected, IReadOnlyList<GenerationResult> actual)
    {
        foreach ((GenerationResult one, GenerationResult other) in expected.Zip(actual))
        {
            Assert.Null(one.Error);
            Assert.Null(other.Error);
            Assert.Equal(one.TokenIds, other.TokenIds);
            Assert.Equal(one.ExitLayers, other.ExitLayers);
            foreach ((float confidence, float same) in one.Confidences!.Zip(other.Confidences!))
                Assert.Equal(confidence, same, 1e-4);
        }
    }
}
