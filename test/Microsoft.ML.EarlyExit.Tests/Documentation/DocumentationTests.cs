using System.Text;
using System.Text.RegularExpressions;
using Microsoft.ML.Data;

namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>What readers copy compiles, and what they click on is there.</summary>
public sealed partial class DocumentationTests
{
    public static TheoryData<string> PagesWithCode => [.. Pages("docs").Concat(Pages("src")).Prepend("README.md")];

    public static TheoryData<string> PagesWithLinks =>
        [.. Pages("docs"), .. Pages("samples"), .. Pages("src"), "README.md", "CONTRIBUTING.md", "SECURITY.md"];

    [Theory]
    [MemberData(nameof(PagesWithCode))]
    public void Every_piece_of_code_is_among_the_compiled_ones(string page)
    {
        string[] compiled = Lines(Path.Combine(Repository.Folder, "test", "Microsoft.ML.EarlyExit.Tests", "Documentation", "Snippets.cs"));
        string all = Join(compiled);
        foreach (Match block in CodeBlock().Matches(ReadPage(page)))
        {
            // Directives stand at the top of the compiled file, the rest inside of it.
            ILookup<bool, string> lines = Significant(block.Groups["code"].Value.Split('\n')).ToLookup(line => UsingDirective().IsMatch(line));
            Assert.Subset(compiled.ToHashSet(), lines[true].ToHashSet());
            Assert.True(all.Contains(Join(lines[false]), StringComparison.Ordinal), $"{page}: not in Snippets.cs, or not word for word:\n{block.Value}");
        }

        static string Join(IEnumerable<string> lines) => $"\n{string.Join('\n', lines)}\n";
    }

    [Fact]
    public void The_pages_that_show_code_are_found() =>
        Assert.Equal(
            [
                "README.md", "docs/calibration.md", "docs/pipeline.md", "src/Microsoft.ML.EarlyExit.Conversion/PACKAGE.md",
                "src/Microsoft.ML.EarlyExit.Evaluation/PACKAGE.md", "src/Microsoft.ML.EarlyExit/PACKAGE.md",
            ],
            PagesWithCode.Select(page => page.Data).Where(page => CodeBlock().IsMatch(ReadPage(page))).Order(StringComparer.Ordinal));

    [Theory]
    [MemberData(nameof(PagesWithLinks))]
    public void Every_relative_link_leads_somewhere(string page)
    {
        foreach (Match link in Link().Matches(ReadPage(page)))
        {
            string[] target = link.Groups["target"].Value.Split('#', 2);
            if (target[0].Contains("://", StringComparison.Ordinal))
                continue;
            string path = target[0].Length == 0 ? page : Path.Combine(Path.GetDirectoryName(page)!, target[0]);
            Assert.True(Path.Exists(Path.Combine(Repository.Folder, path)), $"{page}: {link.Value} leads to '{path}', which is not there.");
            if (target.Length == 2)
                Assert.Contains(target[1], Heading().Matches(ReadPage(path)).Select(heading => Anchor(heading.Groups["text"].Value)));
        }
    }

    [Fact]
    public void Every_file_that_a_recipe_names_is_there()
    {
        // What is below none of these is a path from the repository's root. NAME stands for what is new.
        string[] roots =
        [
            "", "src/Microsoft.ML.EarlyExit", "src/Microsoft.ML.EarlyExit.Conversion", "src/Microsoft.ML.EarlyExit.Tool", "test/Microsoft.ML.EarlyExit.Tests",
        ];
        string page = ReadPage("CONTRIBUTING.md");
        string[] paths =
        [
            .. CodeSpan().Matches(page[page.IndexOf("## Recipes", StringComparison.Ordinal)..]).Select(span => span.Groups["code"].Value)
                .Where(code => code.Contains('/') && !code.Contains(' ') && !code.Contains("NAME", StringComparison.Ordinal)),
        ];
        Assert.NotEmpty(paths);
        Assert.All(paths, path => Assert.Contains(roots, root => Path.Exists(Path.Combine(Repository.Folder, root, path))));
    }

    [Fact]
    public async Task The_model_of_a_loaded_pipeline_streams_the_text_that_its_column_holds()
    {
        var context = new MLContext(seed: 1);
        IDataView data = context.Data.LoadFromEnumerable(DemoRow.Create(1));
        var options = new TextGenerationOptions { Prefix = "describe: ", MaxNewTokens = 6 };
        var pipeline = context.Transforms.CopyColumns("Copy", "Prompt")
            .Append(context.Transforms.Text.GenerateText("Text", "Copy", TestModels.Bundle(TestModels.Demo), options));
        using var zip = new MemoryStream();
        using (TransformerChain<TextGenerationTransformer> saved = pipeline.Fit(data))
            context.Model.Save(saved, data.Schema, zip);

        ITransformer loaded = context.Model.Load(zip, out _);
        TextGenerationTransformer generation = Assert.Single(((IEnumerable<ITransformer>)loaded).OfType<TextGenerationTransformer>());
        var streamed = new StringBuilder();
        await foreach (GeneratedToken token in generation.Model.GenerateStreamingAsync(DemoRow.Create(1)[0].Prompt!, generation.GenerationOptions))
            streamed.Append(token.TextDelta);

        Assert.Equal(loaded.Transform(data).GetColumn<string>("Text").Single(), streamed.ToString());
        ((IDisposable)loaded).Dispose();
    }

    /// <summary>The pages below a folder of the repository, by their paths from its root.</summary>
    private static IEnumerable<string> Pages(string folder) => Directory
        .EnumerateFiles(Path.Combine(Repository.Folder, folder), "*.md", SearchOption.AllDirectories)
        .Select(path => Path.GetRelativePath(Repository.Folder, path).Replace('\\', '/'))
        .Where(path => !path.Split('/').Any(part => part is "bin" or "obj" or "artifacts"));

    private static string ReadPage(string page) => File.ReadAllText(Path.Combine(Repository.Folder, page)).ReplaceLineEndings("\n");

    private static string[] Lines(string path) => [.. Significant(File.ReadAllLines(path))];

    /// <summary>Lines with something in them, without regard to white space.</summary>
    private static IEnumerable<string> Significant(IEnumerable<string> lines) =>
        lines.Select(line => WhiteSpace().Replace(line.Trim(), " ")).Where(line => line.Length > 0);

    /// <summary>The anchor that GitHub gives a heading.</summary>
    private static string Anchor(string heading) => NotInAnchors().Replace(heading.Trim().ToLowerInvariant(), "").Replace(' ', '-');

    [GeneratedRegex(@"^```csharp\n(?<code>.*?)^```$", RegexOptions.Multiline | RegexOptions.Singleline)]
    private static partial Regex CodeBlock();

    [GeneratedRegex("`(?<code>[^`\n]+)`")]
    private static partial Regex CodeSpan();

    [GeneratedRegex(@"\]\((?<target>[^)\s]+)\)")]
    private static partial Regex Link();

    [GeneratedRegex(@"^#+ (?<text>.+)$", RegexOptions.Multiline)]
    private static partial Regex Heading();

    [GeneratedRegex(@"^using [\w.]+;$")]
    private static partial Regex UsingDirective();

    [GeneratedRegex(@"\s+")]
    private static partial Regex WhiteSpace();

    [GeneratedRegex(@"[^\w\- ]")]
    private static partial Regex NotInAnchors();
}
