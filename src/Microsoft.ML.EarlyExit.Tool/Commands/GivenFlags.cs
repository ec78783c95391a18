using System.CommandLine;

namespace Microsoft.ML.EarlyExit.Tool.Commands;

/// <summary>Which of some options stand on the command line.</summary>
internal static class GivenFlags
{
    /// <summary>Their names.</summary>
    public static string[] Of(ParseResult parsed, IEnumerable<Option> options) =>
        [.. options.Where(option => parsed.GetResult(option) is { Implicit: false }).Select(option => option.Name)];
}
