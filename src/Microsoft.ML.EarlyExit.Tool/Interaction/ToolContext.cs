using Microsoft.ML.EarlyExit.Reproduction.Output;

namespace Microsoft.ML.EarlyExit.Tool.Interaction;

/// <summary>What a command talks to.</summary>
/// <param name="Output">Standard output: results only.</param>
/// <param name="Messages">Standard error: messages and progress.</param>
/// <param name="Cancellation">Is cancelled by Ctrl+C.</param>
internal sealed record ToolContext(TextWriter Output, MessageWriter Messages, CancellationToken Cancellation)
{
    /// <summary>What the tool is called on a command line.</summary>
    public const string ToolName = "early-exit";

    /// <summary>Standard input.</summary>
    public Stream Input { get; init; } = Stream.Null;

    /// <summary>The terminal that results go to; null where they go elsewhere.</summary>
    public Terminal? Terminal { get; init; }
}
