using Microsoft.ML.EarlyExit.Exit.Confidences;
using Microsoft.ML.EarlyExit.Exit.Pruning;

namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>Every kind of measure and of pruning is told of wherever kinds are told of.</summary>
public sealed class KindsTests
{
    public static TheoryData<string> Measures => [.. Confidence.Kinds.Select(kind => kind.Name)];

    public static TheoryData<string> Prunings => [.. VocabularyPruning.Kinds.Select(kind => kind.Name)];

    [Theory]
    [MemberData(nameof(Measures))]
    public void Every_measure_is_documented(string name)
    {
        string member = char.ToUpperInvariant(name[0]) + name[1..];
        Assert.Single(typeof(Confidence).GetMember(member));
        Assert.Contains($"\n| `{member}", Page("docs", "concepts.md"), StringComparison.Ordinal);
        Assert.Contains(member, Row(Page("docs", "pipeline.md"), "Confidence"), StringComparison.Ordinal);
        Assert.Contains($"`{name}`", Row(Page("src", "Microsoft.ML.EarlyExit.Tool", "PACKAGE.md"), "confidence"), StringComparison.Ordinal);
    }

    [Theory]
    [MemberData(nameof(Prunings))]
    public void Every_pruning_is_documented(string name)
    {
        string member = char.ToUpperInvariant(name[0]) + name[1..];
        Assert.Single(typeof(VocabularyPruning).GetMember(member));
        Assert.Contains($"\n| `{member}", Page("docs", "concepts.md"), StringComparison.Ordinal);
        Assert.Contains($"`{member}`", Row(Page("docs", "pipeline.md"), "Pruning"), StringComparison.Ordinal);
        Assert.Contains($"`{name}`", Row(Page("src", "Microsoft.ML.EarlyExit.Tool", "PACKAGE.md"), "pruning"), StringComparison.Ordinal);
    }

    [Fact]
    public void Every_field_that_a_measure_is_given_is_documented() => Assert.All(
        Confidence.Kinds.Select(kind => kind.Parameters).OfType<ConfidenceParameters>(),
        parameters => Row(Page("src", "Microsoft.ML.EarlyExit.Tool", "PACKAGE.md"), parameters.Field));

    [Fact]
    public void The_lists_hold_every_kind_that_the_library_has()
    {
        Type[] types = [.. typeof(Confidence).Assembly.GetTypes().Where(type => !type.IsAbstract)];
        Assert.Equal(
            types.Where(type => type.IsSubclassOf(typeof(VocabularyPruning))).ToHashSet(),
            VocabularyPruning.Kinds.Select(kind => kind.Create(new PruningParameters()).GetType()).ToHashSet());

        // What the published code makes of a measure is no measure of its own, and a delegate is the user's.
        string[] measures =
        [
            .. types.Where(type => type.IsSubclassOf(typeof(Confidence)) && type != typeof(CustomConfidence))
                .Select(type => type.Name).Where(name => !name.StartsWith("Reference", StringComparison.Ordinal)),
        ];
        Assert.Equal(measures.ToHashSet(), Confidence.Kinds.Select(kind => char.ToUpperInvariant(kind.Name[0]) + kind.Name[1..]).ToHashSet());
    }

    private static string Row(string page, string name) =>
        Assert.Single(page.Split('\n'), line => line.StartsWith($"| `{name}` |", StringComparison.Ordinal));

    private static string Page(params string[] path) => File.ReadAllText(Path.Combine([Repository.Folder, .. path])).ReplaceLineEndings("\n");
}
