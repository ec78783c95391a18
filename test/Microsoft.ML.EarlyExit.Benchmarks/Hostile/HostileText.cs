namespace Microsoft.ML.EarlyExit.Benchmarks;

/// <summary>Changes a text file as its extension says it is to be read.</summary>
internal static class HostileText
{
    private static readonly byte[][] s_marks = [[(byte)'"'], [(byte)','], [(byte)'\t'], [(byte)'\r'], [(byte)'\n'], [(byte)'"', (byte)'"'], [0], [0xFF], [0xEF, 0xBB, 0xBF], [0xED, 0xA0, 0x80]];

    /// <summary>Makes one to four changes.</summary>
    public static byte[] Mutate(string name, byte[] bytes, HostileRandom random)
    {
        for (int count = 1 + random.Next(random.Chance(60) ? 1 : 4); count > 0; count--)
        {
            bytes = Path.GetExtension(name) switch
            {
                ".json" => JsonMutator.Mutate(bytes, random),
                ".jsonl" or ".partial" => JsonMutator.MutateLines(bytes, random),
                _ when random.Chance(50) && random.Next(bytes.Length + 1) is var at => [.. bytes.AsSpan(0, at), .. random.Pick(s_marks), .. bytes.AsSpan(at)],
                _ => ByteMutator.Mutate(bytes, random),
            };
        }

        return bytes;
    }
}
