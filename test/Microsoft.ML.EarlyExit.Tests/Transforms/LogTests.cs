using Microsoft.ML.Data;
using Microsoft.ML.EarlyExit.Transforms;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.EarlyExit.Tests;

public sealed class LogTests
{
    private readonly MLContext _context = new(seed: 1);
    private readonly List<string> _infos = [];

    public LogTests()
    {
        _context.Log += (_, log) =>
        {
            lock (_infos)
            {
                if (log.Kind == ChannelMessageKind.Info)
                    _infos.Add(log.RawMessage);
            }
        };
    }

    [Fact]
    public void A_reader_that_ends_says_what_it_generated()
    {
        EarlyExitModel model = TestModels.Model(TestModels.Demo);
        var options = new TextGenerationOptions
        {
            MaxNewTokens = 5, MinNewTokens = 5, BatchSize = 2, MaxInputTokens = 30, Exit = new ExitPolicy { StaticExitLayer = 3 },
        };
        DemoRow[] rows = DemoRow.Create(4);
        rows[2].Prompt = string.Join(' ', Enumerable.Repeat("food[Indian]", 100));
        IDataView data = _context.Data.LoadFromEnumerable(rows);
        IDataView output = _context.Transforms.Text.GenerateText("Text", "Prompt", model, options).Fit(data).Transform(data);

        Assert.Equal(4, output.GetColumn<string>("Text").Count());

        string said = Assert.Single(_infos, message => message.StartsWith("Done: ", StringComparison.Ordinal));
        Assert.Matches(@"^Done: 4 of 4 rows, 20 tokens in \d+\.\d s; mean exit layer 3\.00 of 12; 1 input cut\.$", said);
        Assert.Equal(4, output.GetColumn<int>("Number").Count());
        Assert.Single(_infos, message => message.StartsWith("Done: ", StringComparison.Ordinal));
    }

    [Fact]
    public void Progress_is_said_now_and_then()
    {
        EarlyExitModel model = TestModels.Model(TestModels.Demo);
        IDataView data = _context.Data.LoadFromEnumerable(DemoRow.Create(1));
        using TextGenerationTransformer transformer = _context.Transforms.Text.GenerateText("Text", "Prompt", model).Fit(data);
        var time = new SteppedTime();
        using (var run = new TextGenerationRun(transformer, rowCount: 9, time))
        {
            using (run.StartBatch(1, (_, _) => { }))
            {
            }

            var result = new GenerationResult
            {
                Text = "a", TokenIds = [5, 1], ExitLayers = [4, 8], Confidences = [0.9f, 0.9f], StopReason = StopReason.EndOfSequence,
            };
            for (int row = 0; row < 9; row++)
            {
                time.Seconds += 4;
                run.Report(result, row);
            }
        }

        Assert.Equal(
            [
                "Generated 3 of 9 rows, 6 tokens in 12.0 s; mean exit layer 6.00 of 12.",
                "Generated 6 of 9 rows, 12 tokens in 24.0 s; mean exit layer 6.00 of 12.",
                "Generated 9 of 9 rows, 18 tokens in 36.0 s; mean exit layer 6.00 of 12.",
                "Done: 9 of 9 rows, 18 tokens in 36.0 s; mean exit layer 6.00 of 12.",
            ],
            _infos);
    }

    private sealed class SteppedTime : TimeProvider
    {
        public long Seconds { get; set; } = 100;

        public override long TimestampFrequency => 1;

        public override long GetTimestamp() => Seconds;
    }
}
