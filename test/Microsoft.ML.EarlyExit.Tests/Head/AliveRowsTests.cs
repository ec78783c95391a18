using Microsoft.ML.EarlyExit.Exit;
using Microsoft.ML.EarlyExit.Exit.Pruning;
using Microsoft.ML.EarlyExit.Head;

namespace Microsoft.ML.EarlyExit.Tests;

public sealed class AliveRowsTests
{
    [Fact]
    public unsafe void The_rows_are_those_of_the_tokens_alive_for_one_token_after_another()
    {
        LanguageModelHead head = TestModels.Model("tiny-buckets").Head;
        int size = head.VocabularySize;
        var alive = new AliveVocabulary(size, new EvaluationScratch(size), 40, count => new float[count]);
        using var rows = new AliveRows(head);
        var random = new Random(5);
        for (int token = 0; token < 5; token++)
        {
            alive.Begin();
            alive.RankBy([.. Enumerable.Range(0, size).Select(_ => random.NextSingle())]);

            // A list can be longer than was said, and grow again.
            int listed = 40 + token;
            foreach (int count in new[] { listed, 30, 7 })
            {
                alive.Cut(count, isFinal: false);
                AssertRows();
            }

            alive.Keep(listed);
            AssertRows();
        }

        void AssertRows()
        {
            var gathered = new ReadOnlySpan<float>(rows.Gather(alive), alive.Count * head.Width);
            for (int at = 0; at < alive.Count; at++)
                Assert.True(gathered.Slice(at * head.Width, head.Width).SequenceEqual(head.Row(alive.Ids[at])));
        }
    }
}
