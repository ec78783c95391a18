namespace Microsoft.ML.EarlyExit.Benchmarks;

/// <summary>Texts at which tokenizers tend to break.</summary>
internal static class HostileTexts
{
    public static IReadOnlyList<string> All { get; } =
    [
        "", " ", "describe: name[The Waterman], eatType[pub], area[riverside]", "\0", "\ud800x\udc00", "👨‍👩‍👧‍👦 \U0010FFFF", "\u202Eright to left\u202C שלום",
        "a" + new string('\u0301', 300), "\u00A0\u2003\u3000\t\r\n", "\uFFFD\uFFFE\uFEFF",
        "</s><pad><unk><extra_id_0><extra_id_99><extra_id_100>", new string('x', 3000),
        "▁▁▁", string.Concat(Enumerable.Repeat("\uFDFA", 40)), "각가\u1100\u1161\u11A8", "①½ﬁﬃ㍿", new string(' ', 2000) + "end", "<0x41><0xFF>", "\u001b[31mred",
    ];

    /// <summary>One of them, or characters of any kind.</summary>
    public static string Next(HostileRandom random) => random.Chance(70)
        ? random.Pick(All)
        : string.Concat(Enumerable.Range(0, random.Next(50)).Select(_ => (char)random.Next(random.Pick([0x80, 0x3400, 0x10000]))));
}
