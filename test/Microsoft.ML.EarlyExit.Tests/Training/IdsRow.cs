using Microsoft.ML.Data;

namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>An input and a target of a small model, in ids.</summary>
internal sealed class IdsRow
{
    [VectorType]
    public int[] Ids { get; set; } = [];

    [VectorType]
    public int[] Target { get; set; } = [];

    /// <summary>Rows of ids that all small models have, of different lengths.</summary>
    public static IEnumerable<IdsRow> Create(int count)
    {
        for (int row = 0; row < count; row++)
        {
            var random = new Random(row);
            yield return new IdsRow { Ids = Draw(random, 3 + (row % 5)), Target = Draw(random, 2 + (row % 7)) };
        }
    }

    private static int[] Draw(Random random, int count) => [.. Enumerable.Range(0, count).Select(_ => random.Next(2, 250)), 1];
}
