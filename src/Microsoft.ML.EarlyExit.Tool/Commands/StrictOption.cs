using System.CommandLine;

namespace Microsoft.ML.EarlyExit.Tool.Commands;

/// <summary><c>--strict</c>: whether any failed row is a failure.</summary>
internal static class StrictOption
{
    public static Option<bool> Create() => new("--strict") { Description = "Return 1 where any row failed; otherwise only where no row succeeded." };
}
