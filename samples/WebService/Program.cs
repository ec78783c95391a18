// A saved pipeline behind HTTP: POST /generate answers in one piece, GET /stream token by token.
using System.ComponentModel.DataAnnotations;
using System.Runtime.CompilerServices;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.AspNetCore.RateLimiting;
using Microsoft.Extensions.ObjectPool;
using Microsoft.ML;
using Microsoft.ML.EarlyExit;
using Samples;
using WebService;

const int Concurrency = 2;
const int Waiting = 64;

WebApplicationBuilder builder = WebApplication.CreateBuilder(args);
builder.Logging.AddFilter("Microsoft.AspNetCore", LogLevel.Warning);
builder.WebHost.ConfigureKestrel(kestrel => kestrel.Limits.MaxRequestBodySize = 64 << 10);
builder.Services.AddProblemDetails();
builder.Services.AddValidation();
builder.Services.AddHealthChecks();

// A prediction engine blocks its thread, and every generation wants all processors: few run at once, others wait without a thread, and beyond that it is 503.
builder.Services.AddRateLimiter(limiter => limiter.AddConcurrencyLimiter("generation", limit =>
{
    limit.PermitLimit = Concurrency;
    limit.QueueLimit = Waiting;
}));

// The container disposes what it made in reverse order, after the last request: first the engines, then the model.
builder.Services.AddSingleton(_ => (TextGenerationTransformer)new MLContext().Model.Load(SavedModel.GetZip(), out DataViewSchema _));

// Where the package Microsoft.Extensions.ML can be had, builder.Services.AddPredictionEnginePool<Prompt, Generated>().FromFile(SavedModel.GetZip()) takes the
// place of this pool and its policy.
builder.Services.AddSingleton(services =>
    new DefaultObjectPoolProvider { MaximumRetained = Concurrency }.Create(new EnginePolicy(services.GetRequiredService<TextGenerationTransformer>())));

WebApplication app = builder.Build();
app.UseExceptionHandler();
app.UseStatusCodePages();
app.UseRateLimiter();
app.MapHealthChecks("/health");

// Loaded now, so that a service that listens can also answer.
TextGenerationTransformer model = app.Services.GetRequiredService<TextGenerationTransformer>();

app.MapPost("/generate", Results<Ok<GenerateResponse>, ProblemHttpResult> (GenerateRequest request, ObjectPool<PredictionEngine<Prompt, Generated>> engines) =>
{
    PredictionEngine<Prompt, Generated> engine = engines.Get();
    try
    {
        Generated row = engine.Predict(new Prompt(request.Text));
        return row.StopReason == nameof(StopReason.Error)
            ? TypedResults.Problem("The text could not be generated.")
            : TypedResults.Ok(new GenerateResponse(row.Text, row.ExitLayers.Length, row.ExitLayers.Average(), row.StopReason));
    }
    finally
    {
        engines.Return(engine);
    }
}).RequireRateLimiting("generation");

app.MapGet("/stream", ([Required, StringLength(GenerateRequest.LongestText)] string text, CancellationToken aborted) =>
    TypedResults.ServerSentEvents(Stream(text, aborted), eventType: "token")).RequireRateLimiting("generation");
app.Run();

// One event per token. A client that leaves cancels the generation, and a service that stops ends its streams instead of waiting for them.
async IAsyncEnumerable<TokenEvent> Stream(string text, [EnumeratorCancellation] CancellationToken aborted)
{
    await foreach (GeneratedToken token in model.Model.GenerateStreamingAsync(text, model.GenerationOptions, aborted))
    {
        if (app.Lifetime.ApplicationStopping.IsCancellationRequested)
            yield break;
        yield return new TokenEvent(token.TextDelta, token.ExitLayer, float.IsNaN(token.Confidence) ? null : token.Confidence, token.StopReason?.ToString());
    }
}
