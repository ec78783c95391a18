using Microsoft.Extensions.ObjectPool;
using Microsoft.ML;
using Microsoft.ML.EarlyExit;
using Samples;

namespace WebService;

/// <summary>Makes the pool's engines. They share one model, which outlives them.</summary>
internal sealed class EnginePolicy(TextGenerationTransformer model) : PooledObjectPolicy<PredictionEngine<Prompt, Generated>>
{
    private readonly MLContext _mlContext = new();

    // An engine that owns its model would dispose it for all of them.
    public override PredictionEngine<Prompt, Generated> Create() =>
        _mlContext.Model.CreatePredictionEngine<Prompt, Generated>(model, new PredictionEngineOptions { OwnsTransformer = false });

    public override bool Return(PredictionEngine<Prompt, Generated> engine) => true;
}
