using System.Globalization;
using Microsoft.CodeAnalysis;

namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>The arrows between the folders of <c>src</c> are those that CONTRIBUTING.md draws, and a type is where its folder says.</summary>
public sealed class ArchitectureTests(ITestOutputHelper output)
{
    private static readonly Lazy<SourceArrows> s_arrows = new(SourceArrows.Read);

    [Fact]
    public void Folders_use_those_that_are_drawn_and_no_others()
    {
        SourceArrows arrows = s_arrows.Value;
        foreach (string line in arrows.Drawn())
            output.WriteLine(line);
        HashSet<(string From, string To)> drawn = [.. DrawnArrows()];
        string[] wrong =
        [
            .. arrows.Examples.Where(arrow => !drawn.Contains(arrow.Key))
                .Select(arrow => $"{arrow.Key.From} → {arrow.Key.To} is new: {arrow.Value}. Move what is used, or draw the arrow in CONTRIBUTING.md."),
            .. drawn.Where(arrow => !arrows.Examples.ContainsKey(arrow))
                .Select(arrow => $"{arrow.From} → {arrow.To} is drawn in CONTRIBUTING.md, but nothing uses it any more."),
        ];
        Assert.True(wrong.Length == 0, string.Join(Environment.NewLine, wrong));
    }

    [Fact]
    public void No_folder_comes_back_to_itself()
    {
        ILookup<string, string> uses = s_arrows.Value.Examples.Keys.ToLookup(arrow => arrow.From, arrow => arrow.To);
        string[] cycles = [.. uses.Select(from => from.Key).Select(start => Way(uses, start)).OfType<string>()];
        Assert.True(cycles.Length == 0, string.Join(Environment.NewLine, cycles));
    }

    [Fact]
    public void An_internal_type_has_its_folders_namespace_and_a_public_one_is_where_users_look()
    {
        string[] wrong =
        [
            .. from file in s_arrows.Value.Files
               from type in file.Types
               let space = type.ContainingNamespace.ToDisplayString()
               where type.DeclaredAccessibility == Accessibility.Public
                   ? space is not ("Microsoft.ML" or "Microsoft.ML.EarlyExit" or "Microsoft.ML.EarlyExit.Conversion")
                   : space != Path.GetDirectoryName(file.Path)!.Replace('\\', '.').Replace('/', '.') && !space.StartsWith("System.", StringComparison.Ordinal)
               select $"{file.Path}: {type.Name} is in {space}",
        ];
        Assert.True(wrong.Length == 0, string.Join(Environment.NewLine, wrong));
    }

    [Fact]
    public void A_file_is_one_type_and_has_its_name()
    {
        string[] wrong =
        [
            .. from file in s_arrows.Value.Files
               from type in file.Types
               where type.Name != Path.GetFileName(file.Path).Split('.')[0]
               select $"{file.Path} declares {type.Name}",
        ];
        Assert.True(wrong.Length == 0, string.Join(Environment.NewLine, wrong));
    }

    [Fact]
    public void Lines_keep_to_the_editors_limit()
    {
        int limit = int.Parse(File.ReadLines(Path.Combine(Repository.Folder, ".editorconfig"))
            .Single(line => line.StartsWith("max_line_length", StringComparison.Ordinal)).Split('=')[1], CultureInfo.InvariantCulture);
        string[] wrong =
        [
            .. from file in s_arrows.Value.Files
               from line in File.ReadLines(Path.Combine(Repository.Folder, "src", file.Path)).Index()
               where line.Item.Length > limit
               select $"{file.Path}:{line.Index + 1} has {line.Item.Length} characters",
        ];
        Assert.True(wrong.Length == 0, string.Join(Environment.NewLine, wrong));
    }

    private static IEnumerable<(string From, string To)> DrawnArrows() =>
        from line in File.ReadLines(Path.Combine(Repository.Folder, "CONTRIBUTING.md"))
        let sides = line.Split(" → ")
        where sides.Length == 2 && !line.StartsWith('-') && !line.Contains('.')
        from to in sides[1].Split(", ")
        select (sides[0], to);

    /// <summary>A way from a folder back to it; null where there is none.</summary>
    private static string? Way(ILookup<string, string> uses, string start)
    {
        var before = new Dictionary<string, string>();
        var open = new Queue<string>([start]);
        while (open.TryDequeue(out string? folder))
        {
            foreach (string next in uses[folder])
            {
                if (next == start)
                {
                    string way = $"{folder} → {start}";
                    for (string at = folder; at != start; at = before[at])
                        way = $"{before[at]} → {way}";
                    return way;
                }

                if (before.TryAdd(next, folder))
                    open.Enqueue(next);
            }
        }

        return null;
    }
}
