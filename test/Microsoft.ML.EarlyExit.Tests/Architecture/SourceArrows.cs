using System.Collections.Immutable;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp;
using Microsoft.CodeAnalysis.CSharp.Syntax;

namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>Which folders of <c>src</c> use which, as the compiler reads the sources: a constant, an extension member and a type in a method's body count, a
/// comment does not.</summary>
internal sealed class SourceArrows
{
    // Of no file: what the SDK imports everywhere.
    private const string Usings = "Microsoft.ML.EarlyExit/Usings.cs";

    private readonly Dictionary<(string From, string To), string> _examples = [];

    private SourceArrows(CSharpCompilation compilation)
    {
        foreach (SyntaxTree tree in compilation.SyntaxTrees)
        {
            if (tree.FilePath != Usings)
                Files.Add(new SourceFile(tree.FilePath, [.. Types(compilation.GetSemanticModel(tree))]));
            Read(compilation.GetSemanticModel(tree));
        }
    }

    /// <summary>The arrows, each with the first place that has it.</summary>
    public IReadOnlyDictionary<(string From, string To), string> Examples => _examples;

    public List<SourceFile> Files { get; } = [];

    /// <summary>Reads all sources of the projects under <c>src</c>.</summary>
    public static SourceArrows Read()
    {
        string source = Path.Combine(Repository.Folder, "src");
        var options = new CSharpParseOptions(LanguageVersion.Latest);
        IEnumerable<SyntaxTree> trees = Directory.EnumerateFiles(source, "*.cs", SearchOption.AllDirectories)
            .Select(file => Path.GetRelativePath(source, file).Replace('\\', '/'))
            .Where(file => !file.Contains("/obj/", StringComparison.Ordinal) && !file.Contains("/bin/", StringComparison.Ordinal))
            .Order(StringComparer.Ordinal)
            .Select(file => CSharpSyntaxTree.ParseText(File.ReadAllText(Path.Combine(source, file)), options, file));
        const string Implicit = "global using System; global using System.Collections.Generic; global using System.IO; global using System.Linq; "
            + "global using System.Threading; global using System.Threading.Tasks;";
        IEnumerable<MetadataReference> references = ((string)AppContext.GetData("TRUSTED_PLATFORM_ASSEMBLIES")!).Split(Path.PathSeparator)
            .Where(file => !Path.GetFileName(file).StartsWith("Microsoft.ML.EarlyExit", StringComparison.Ordinal))
            .Select(file => MetadataReference.CreateFromFile(file));
        return new SourceArrows(CSharpCompilation.Create(
            "Sources", [.. trees, CSharpSyntaxTree.ParseText(Implicit, options, Usings)], references,
            new CSharpCompilationOptions(OutputKind.DynamicallyLinkedLibrary, allowUnsafe: true)));
    }

    /// <summary>The arrows as they are drawn: a line for every folder with those that it uses.</summary>
    public IEnumerable<string> Drawn() => _examples.Keys
        .GroupBy(arrow => arrow.From, arrow => arrow.To)
        .OrderBy(group => group.Key, StringComparer.Ordinal)
        .Select(group => $"{group.Key} → {string.Join(", ", group.Order(StringComparer.Ordinal))}");

    private static IEnumerable<INamedTypeSymbol> Types(SemanticModel model) => model.SyntaxTree.GetCompilationUnitRoot().DescendantNodes()
        .Where(node => node is BaseTypeDeclarationSyntax or DelegateDeclarationSyntax && node.Parent is BaseNamespaceDeclarationSyntax)
        .Select(node => (INamedTypeSymbol)model.GetDeclaredSymbol(node)!);

    /// <summary>The folder under the project, and before it the project where that is not the library: "Exit", "Tool/Commands"; a project's own files have its
    /// name.</summary>
    private static string Folder(string file)
    {
        string[] parts = file.Split('/');
        string project = parts[0]["Microsoft.ML.EarlyExit".Length..].TrimStart('.');
        string folder = parts.Length > 2 ? parts[1] : "";
        return (project, folder) switch
        {
            ("", "") => "EarlyExit",
            ("", _) => folder,
            (_, "") => project,
            _ => $"{project}/{folder}",
        };
    }

    private void Read(SemanticModel model)
    {
        string from = Folder(model.SyntaxTree.FilePath);
        foreach (SimpleNameSyntax name in model.SyntaxTree.GetCompilationUnitRoot().DescendantNodes().OfType<SimpleNameSyntax>())
        {
            SymbolInfo info = model.GetSymbolInfo(name);
            ISymbol? symbol = info.Symbol ?? info.CandidateSymbols.FirstOrDefault();
            INamedTypeSymbol? type = symbol as INamedTypeSymbol ?? symbol?.ContainingType;
            while (type?.ContainingType is { } outer)
                type = outer;
            if (type is null || symbol is INamespaceSymbol)
                continue;
            ImmutableArray<SyntaxReference> declarations = type.OriginalDefinition.DeclaringSyntaxReferences;
            if (declarations.IsEmpty || declarations.Any(declaration => Folder(declaration.SyntaxTree.FilePath) == from))
                continue;
            FileLinePositionSpan place = name.GetLocation().GetLineSpan();
            _examples.TryAdd((from, Folder(declarations[0].SyntaxTree.FilePath)), $"{place.Path}:{place.StartLinePosition.Line + 1} uses {type.Name}");
        }
    }
}
