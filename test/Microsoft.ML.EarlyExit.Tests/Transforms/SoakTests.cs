using System.Diagnostics;
using Microsoft.ML.Data;

namespace Microsoft.ML.EarlyExit.Tests;

[Collection("Native memory")]
public sealed class SoakTests
{
    private const int Threads = 8;
    private static readonly TimeSpan s_warmUp = TimeSpan.FromSeconds(15);
    private static readonly TimeSpan s_duration = TimeSpan.FromSeconds(60);

    private static readonly TextGenerationOptions s_options = new()
    {
        Prefix = "describe: ",
        MaxNewTokens = 16,
        BatchSize = 3,
        Exit = new ExitPolicy { MinimumLayer = 4, Threshold = 0.8f },
    };

    [Fact]
    public async Task Eight_threads_for_a_minute_generate_the_same_and_hold_no_more_than_before()
    {
        var context = new MLContext(seed: 1);
        DemoRow[] rows = DemoRow.Create(5);
        using TextGenerationTransformer transformer = context.Transforms.Text
            .GenerateText("Text", "Prompt", TestModels.Bundle(TestModels.Demo), s_options).Fit(context.Data.LoadFromEnumerable(rows));
        string[] expected = [.. rows.Select(row => transformer.Model.Generate(row.Prompt!, s_options).Text!)];
        CancellationToken testToken = TestContext.Current.CancellationToken;
        long rounds = 0;
        var watch = Stopwatch.StartNew();
        Task[] threads = [.. Enumerable.Range(0, Threads).Select(thread => Task.Factory.StartNew(
            () =>
            {
                using PredictionEngine<DemoRow, DemoOutput> engine = context.Model.CreatePredictionEngine<DemoRow, DemoOutput>(
                    transformer, new PredictionEngineOptions { OwnsTransformer = false });
                for (int round = thread; watch.Elapsed < s_duration && !testToken.IsCancellationRequested; round++)
                {
                    Run(round, engine);
                    Interlocked.Increment(ref rounds);
                }
            },
            testToken, TaskCreationOptions.LongRunning, TaskScheduler.Default))];
        Task all = Task.WhenAll(threads);

        await Task.WhenAny(all, Task.Delay(s_warmUp, testToken));
        (int handles, long memory) = Measure();
        await all;
        (int handlesAtEnd, long memoryAtEnd) = Measure();

        Assert.InRange(rounds, 2 * Threads, long.MaxValue);
        // Eight threads still at work when it was first measured hold more than none.
        Assert.InRange(handlesAtEnd, 0, handles + Threads);
        Assert.InRange(memoryAtEnd, 0, memory + (64L << 20));

        // Every way to generate, in turn.
        void Run(int round, PredictionEngine<DemoRow, DemoOutput> engine)
        {
            switch (round % 4)
            {
                case 0:
                    Assert.Equal(expected, transformer.Transform(context.Data.LoadFromEnumerable(rows)).GetColumn<string>("Text"));
                    break;
                case 1:
                    Assert.Equal(expected[round % rows.Length], engine.Predict(rows[round % rows.Length]).Text);
                    break;
                case 2:
                    Assert.Equal(
                        expected,
                        transformer.Model.Generate([.. rows.Select(row => GenerationInput.FromText(row.Prompt!))], s_options).Select(result => result.Text));
                    break;
                default:
                    Assert.Equal(
                        expected[round % rows.Length],
                        string.Concat(transformer.Model.GenerateStreamingAsync(rows[round % rows.Length].Prompt!, s_options)
                            .Select(token => token.TextDelta).ToBlockingEnumerable()));
                    break;
            }
        }
    }

    private static (int Handles, long Memory) Measure()
    {
        GC.Collect();
        GC.WaitForPendingFinalizers();
        GC.Collect();
        using Process process = Process.GetCurrentProcess();
        return (process.HandleCount, process.WorkingSet64);
    }
}
