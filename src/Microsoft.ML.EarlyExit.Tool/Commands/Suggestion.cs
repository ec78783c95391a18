namespace Microsoft.ML.EarlyExit.Tool.Commands;

/// <summary>What somebody meant who mistyped a name.</summary>
internal static class Suggestion
{
    private const int ShortestBeginning = 3;

    /// <summary>A question that names the nearest name, to append to a message; empty where none is near.</summary>
    public static string For(string given, IEnumerable<string> known)
    {
        // A third of the letters may be wrong; the beginning of a long name is near, too.
        int farthest = Math.Max(1, given.Length / 3);
        (string Name, int Distance) nearest = known
            .Select(name => (Name: name, Distance: IsBeginning(given, name) ? 1 : Distance(given.ToUpperInvariant(), name.ToUpperInvariant())))
            .OrderBy(candidate => candidate.Distance)
            .FirstOrDefault(candidate => candidate.Distance <= farthest);
        return nearest.Name is null ? "" : $" Did you mean {nearest.Name}?";
    }

    private static bool IsBeginning(string given, string name) =>
        given.TrimStart('-').Length >= ShortestBeginning && name.StartsWith(given, StringComparison.OrdinalIgnoreCase);

    /// <summary>Letters to insert, leave out, replace or exchange with their neighbour (optimal string alignment).</summary>
    private static int Distance(string first, string second)
    {
        int[,] distances = new int[first.Length + 1, second.Length + 1];
        for (int i = 0; i <= first.Length; i++)
        {
            for (int j = 0; j <= second.Length; j++)
            {
                if (i == 0 || j == 0)
                {
                    distances[i, j] = i + j;
                    continue;
                }

                int changed = distances[i - 1, j - 1] + (first[i - 1] == second[j - 1] ? 0 : 1);
                int best = Math.Min(changed, Math.Min(distances[i - 1, j], distances[i, j - 1]) + 1);
                if (i > 1 && j > 1 && first[i - 1] == second[j - 2] && first[i - 2] == second[j - 1])
                    best = Math.Min(best, distances[i - 2, j - 2] + 1);
                distances[i, j] = best;
            }
        }

        return distances[first.Length, second.Length];
    }
}
