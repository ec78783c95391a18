using FsCheck;
using FsCheck.Fluent;

namespace Microsoft.ML.EarlyExit.Evaluation.Tests;

/// <summary>Texts of few words, so that they share some, with line breaks, marks and characters of other scripts between them.</summary>
internal static class AnyTexts
{
    private static readonly string[] s_words =
        ["the", "a", "cat", "cats", "running", "ran", "1,000", "3.5", "x", "café", "日本", "Σ", "\U0001F600", "news", "cat's"];
    private static readonly string[] s_gaps = [" ", " ", " ", "\n", ", ", "-", ". ", "", "\t"];

    public static Arbitrary<string> One { get; } = Gen.Elements(s_words).Zip(Gen.Elements(s_gaps)).ArrayOf()
        .Select(pieces => string.Concat(pieces.Select(piece => piece.Item1 + piece.Item2))).ToArbitrary();

    public static Arbitrary<string[]> Some { get; } = One.Generator.NonEmptyListOf().Select(texts => texts.ToArray()).ToArbitrary();
}
