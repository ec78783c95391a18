using Microsoft.ML.EarlyExit.Reproduction.Output;
using Microsoft.ML.EarlyExit.Tool.Interaction;

namespace Microsoft.ML.EarlyExit.Tool.Tests;

/// <summary>Runs the tool inside the test process.</summary>
internal static class ToolRunner
{
    public static ToolResult Run(params string[] arguments) => Run(new StringWriter(), isTerminal: false, CancellationToken.None, arguments);

    public static ToolResult Run(TextWriter output, bool isTerminal, CancellationToken cancellationToken, params string[] arguments)
    {
        var error = new StringWriter();
        int code = EarlyExitTool.Run(arguments, new ToolContext(output, new MessageWriter(error, isTerminal), cancellationToken));
        return new ToolResult(code, output.ToString()!, error.ToString());
    }
}
