using System.CommandLine;
using Microsoft.ML.EarlyExit.Tool.Completion;
using Microsoft.ML.EarlyExit.Tool.Interaction;
using Microsoft.ML.EarlyExit.Tool.Output;

namespace Microsoft.ML.EarlyExit.Tool.Commands;

/// <summary><c>completion</c>: the script with which a shell completes the tool's commands, options and values.</summary>
internal sealed class CompletionCommand : ToolCommand
{
    public CompletionCommand(ToolContext context)
        : base("completion", "Print the script that makes a shell complete early-exit.", "bash > ~/.local/share/bash-completion/completions/early-exit")
    {
        string[] shells = [.. CompletionScripts.All.Select(one => one.Shell)];
        var shell = new Argument<string>("SHELL")
        {
            Description = $"The shell: {string.Join(", ", shells)}.",
            HelpName = string.Join('|', shells),
            CustomParser = result => Choice.Parse(result, "SHELL", CompletionScripts.All)!,
        };
        shell.CompletionSources.Add(shells);
        Add(shell);
        SetAction(parsed =>
        {
            context.Output.WriteLine(parsed.GetRequiredValue(shell));
            return ExitCode.Done;
        });
    }
}
