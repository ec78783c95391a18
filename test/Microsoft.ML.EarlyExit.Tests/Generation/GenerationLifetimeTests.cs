using Microsoft.ML.EarlyExit.Exit;
using Microsoft.ML.EarlyExit.Generation;
using Microsoft.ML.EarlyExit.Memory;
using Microsoft.ML.EarlyExit.Runtime;
using Microsoft.ML.OnnxRuntime;

namespace Microsoft.ML.EarlyExit.Tests;

[Collection("Native memory")]
public sealed class GenerationLifetimeTests
{
    private static readonly GenerationInput[] s_inputs =
        [.. Enumerable.Range(0, 6).Select(row => GenerationInput.FromTokenIds([.. Enumerable.Range(3 + row, 4 + row), 1]))];

    private static readonly ExitPolicy s_policy = new() { MinimumLayer = 2, Threshold = 0.5f };

    private static readonly ExitPolicy s_parallel = s_policy with { StatePropagation = StatePropagation.ParallelDecoding };

    [Fact]
    public void A_step_allocates_nothing_once_its_shapes_have_occurred()
    {
        EarlyExitModel model = TestModels.Model(TestModels.Exits);
        foreach (int rows in new[] { 1, 4 })
        {
            // Deep enough for amateurs below j; once all tokens run to the end, once all leave after layer 7.
            float[][] thresholds = [[1, 1, 1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1, 0, 1]];
            IEnumerable<DefinedPolicy> measures =
                thresholds.SelectMany(list => DefinedPolicy.EveryMeasureAndCut(4, 1).Select(policy => policy with { Thresholds = list }));
            ExitPolicy?[] policies =
            [
                null, new ExitPolicy { StaticExitLayer = 3 }, s_policy with { Threshold = 1 }, s_parallel with { Threshold = 1 },
                .. measures.Select(policy => policy.ToPolicy()),
                .. measures.Where(policy => policy.IsContrastive)
                    .Select(policy => (policy with { AllAmateurs = true, ChoosesContrastive = true, WholeAtLastLayer = false }).ToPolicy()),
            ];
            foreach (ExitPolicy? policy in policies)
            {
                var options = new TextGenerationOptions
                {
                    MaxNewTokens = 64, MinNewTokens = 64, RepetitionPenalty = 1.1f, NoRepeatNgramSize = 3, Exit = policy,
                };
                using var run = new RunOptions();
                var encoded = s_inputs.Take(rows)
                    .Select(input => EncodedInput.Encode(model.Sessions.Encoder, input.TokenIds!, model.Configuration.ModelDimension, run))
                    .ToList();
                using var session = new DecodingSession(
                    model.Bundle, model.Sessions, model.Head, rows, ExitPlan.Create(policy, model.Configuration, 64), options, 64, run);
                for (int slot = 0; slot < rows; slot++)
                    session.Start(slot, encoded[slot]);
                for (int step = 0; step < 14; step++)
                    session.Step(CancellationToken.None);
                long before = GC.GetAllocatedBytesForCurrentThread();
                for (int step = 0; step < 50; step++)
                    session.Step(CancellationToken.None);
                long allocated = GC.GetAllocatedBytesForCurrentThread() - before;
                Assert.True(allocated == 0, $"{allocated} bytes were allocated with {rows} rows and {policy}.");
                encoded.ForEach(input => input.Dispose());
            }
        }
    }

    [Theory]
    [InlineData(StatePropagation.StateCopy)]
    [InlineData(StatePropagation.ParallelDecoding)]
    public void Nothing_native_is_left_after_calls_that_end_fail_or_are_cancelled(StatePropagation propagation)
    {
        EarlyExitModel model = EarlyExitModel.Load(TestModels.Bundle(TestModels.Exits));
        var options = new TextGenerationOptions
        {
            MaxNewTokens = 100, MinNewTokens = 100, BatchSize = 3, Exit = s_policy with { StatePropagation = propagation },
        };
        // What other tests left to the garbage collector must not go while this one counts.
        GC.Collect();
        GC.WaitForPendingFinalizers();
        long before = NativeBuffer.LiveBytes;
        model.Generate(s_inputs, options);
        model.Generate([GenerationInput.FromTokenIds([-1]), s_inputs[0]], options);
        using (var cancelled = new CancellationTokenSource())
        {
            cancelled.Cancel();
            Assert.Throws<OperationCanceledException>(() => { model.Generate(s_inputs, options, cancelled.Token); });
        }

        using (var late = new CancellationTokenSource(TimeSpan.FromMilliseconds(30)))
        {
            void GenerateUntilCancelled()
            {
                while (true)
                    model.Generate(s_inputs, options, late.Token);
            }

            Assert.Throws<OperationCanceledException>(GenerateUntilCancelled);
        }

        Assert.Equal(before, NativeBuffer.LiveBytes);
        model.Dispose();
        model.Dispose();
        Assert.Throws<ObjectDisposedException>(() => { model.Generate(s_inputs, options); });
    }

    [Theory]
    [InlineData(StatePropagation.StateCopy)]
    [InlineData(StatePropagation.ParallelDecoding)]
    public async Task Eight_threads_on_one_model_generate_what_one_does(StatePropagation propagation)
    {
        EarlyExitModel model = TestModels.Model(TestModels.Exits);
        var options = new TextGenerationOptions { MaxNewTokens = 30, BatchSize = 4, Exit = s_policy with { StatePropagation = propagation } };
        IReadOnlyList<GenerationResult> expected = model.Generate(s_inputs, options);
        Task[] threads = [.. Enumerable.Range(0, 8).Select(_ => Task.Factory.StartNew(
            () =>
            {
                for (int round = 0; round < 10; round++)
                {
                    IReadOnlyList<GenerationResult> actual = model.Generate(s_inputs, options);
                    for (int row = 0; row < s_inputs.Length; row++)
                    {
                        Assert.Equal(expected[row].TokenIds, actual[row].TokenIds);
                        Assert.Equal(expected[row].Confidences, actual[row].Confidences);
                    }
                }
            },
            TestContext.Current.CancellationToken, TaskCreationOptions.LongRunning, TaskScheduler.Default))];
        await Task.WhenAll(threads);
    }

    [Theory]
    [InlineData(StatePropagation.StateCopy)]
    [InlineData(StatePropagation.ParallelDecoding)]
    public async Task Disposing_a_model_lets_running_calls_end(StatePropagation propagation)
    {
        EarlyExitModel model = EarlyExitModel.Load(TestModels.Bundle(TestModels.Exits));
        var options = new TextGenerationOptions { MaxNewTokens = 60, MinNewTokens = 60, Exit = s_policy with { StatePropagation = propagation } };
        IReadOnlyList<GenerationResult> expected = model.Generate(s_inputs, options);
        using var started = new ManualResetEventSlim();
        Task<IReadOnlyList<GenerationResult>> running = Task.Run(
            () =>
            {
                started.Set();
                return model.Generate(s_inputs, options);
            },
            TestContext.Current.CancellationToken);
        started.Wait(TestContext.Current.CancellationToken);
        model.Dispose();
        try
        {
            IReadOnlyList<GenerationResult> actual = await running;
            Assert.Equal(expected.Select(row => row.TokenIds), actual.Select(row => row.TokenIds));
        }
        catch (ObjectDisposedException)
        {
            // The call came after the disposal.
        }
    }
}
