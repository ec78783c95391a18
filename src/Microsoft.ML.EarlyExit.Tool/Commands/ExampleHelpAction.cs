using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Invocation;
using Microsoft.ML.EarlyExit.Tool.Interaction;

namespace Microsoft.ML.EarlyExit.Tool.Commands;

/// <summary>The usual help, followed by the command's example, or those of all commands.</summary>
internal sealed class ExampleHelpAction(HelpAction help) : SynchronousCommandLineAction
{
    public override bool ClearsParseErrors => true;

    public static HelpOption CreateOption()
    {
        var option = new HelpOption();
        option.Action = new ExampleHelpAction((HelpAction)option.Action!);
        return option;
    }

    public override int Invoke(ParseResult parseResult)
    {
        int code = help.Invoke(parseResult);
        System.CommandLine.Command command = parseResult.CommandResult.Command;
        ToolCommand[] shown = [.. (command is ToolCommand ? [command] : command.Subcommands).OfType<ToolCommand>()];
        TextWriter output = parseResult.InvocationConfiguration.Output;
        output.WriteLine(shown.Length == 1 ? "Example:" : "Examples:");
        foreach (ToolCommand one in shown)
            output.WriteLine($"  {ToolContext.ToolName} {one.Name} {one.Example}");
        output.WriteLine();
        return code;
    }
}
