using Microsoft.CodeAnalysis;

namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>A source file, by its path under <c>src</c>, with the types that it declares.</summary>
internal sealed record SourceFile(string Path, IReadOnlyList<INamedTypeSymbol> Types);
