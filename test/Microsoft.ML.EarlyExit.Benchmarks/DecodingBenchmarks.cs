using BenchmarkDotNet.Attributes;
using Microsoft.ML.EarlyExit.Exit;
using Microsoft.ML.EarlyExit.Generation;
using Microsoft.ML.EarlyExit.Runtime;
using Microsoft.ML.OnnxRuntime;

namespace Microsoft.ML.EarlyExit.Benchmarks;

/// <summary>One decoding step of a whole batch, in fp32: 32 to 48 tokens behind it, 128 encoder positions before it.</summary>
[MemoryDiagnoser]
public class DecodingBenchmarks
{
    internal const int StepsPerIteration = 16;
    private const int Past = 32;
    private const int EncoderLength = 128;

    private static readonly Dictionary<string, EarlyExitModel> s_models = [];

    private readonly RunOptions _run = new();
    private readonly List<EncodedInput> _inputs = [];
    private DecodingSession? _session;

    /// <summary>Which models: set before the run.</summary>
    public static IReadOnlyList<string> Models { get; set; } = [BenchmarkModels.Demo, BenchmarkModels.Large];

    [ParamsSource(nameof(Models))]
    public string Model { get; set; } = "";

    /// <summary>All layers, or an exit after a third of them.</summary>
    [Params("full", "third")]
    public string Depth { get; set; } = "";

    [Params(1, 8)]
    public int Batch { get; set; }

    private EarlyExitModel Loaded => s_models.TryGetValue(Model, out EarlyExitModel? model) ? model : s_models[Model] = BenchmarkModels.Load(Model);

    [GlobalSetup]
    public void Encode()
    {
        var random = new Random(1);
        for (int row = 0; row < Batch; row++)
        {
            int[] ids = [.. Enumerable.Range(0, EncoderLength).Select(_ => random.Next(3, 32000))];
            _inputs.Add(EncodedInput.Encode(Loaded.Sessions.Encoder, ids, Loaded.Configuration.ModelDimension, _run));
        }
    }

    [IterationSetup]
    public void DecodePast()
    {
        _session?.Dispose();
        int layers = Loaded.Configuration.DecoderLayerCount;
        var options = new TextGenerationOptions
        {
            MaxNewTokens = 64,
            MinNewTokens = 64,
            Exit = Depth == "full" ? null : new ExitPolicy { StaticExitLayer = layers / 3 },
        };
        _session = new DecodingSession(
            Loaded.Bundle, Loaded.Sessions, Loaded.Head, Batch, ExitPlan.Create(options.Exit, Loaded.Configuration, 64), options, 64, _run);
        for (int slot = 0; slot < Batch; slot++)
            _session.Start(slot, _inputs[slot]);
        for (int step = 0; step < Past; step++)
            _session.Step(CancellationToken.None);
    }

    [Benchmark]
    public void Step() => _session!.Step(CancellationToken.None);

    [GlobalCleanup]
    public void Release()
    {
        _session?.Dispose();
        _session = null;
        _inputs.ForEach(input => input.Dispose());
        _inputs.Clear();
    }
}
