namespace Microsoft.ML.EarlyExit.Tool;

/// <summary>What a command talks to.</summary>
/// <param name="Output">Standard output: results only.</param>
/// <param name="Messages">Standard error: messages and progress.</param>
/// <param name="Cancellation">Is cancelled by Ctrl+C.</param>
internal sealed record ToolContext(TextWriter Output, MessageWriter Messages, CancellationToken Cancellation);
