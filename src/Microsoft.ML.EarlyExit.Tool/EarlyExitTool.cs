using System.CommandLine;
using System.CommandLine.Help;
using Microsoft.ML.EarlyExit.Tool.Commands;
using Microsoft.ML.EarlyExit.Tool.Completion;
using Microsoft.ML.EarlyExit.Tool.Interaction;
using Microsoft.ML.EarlyExit.Tool.Output;

namespace Microsoft.ML.EarlyExit.Tool;

/// <summary>The tool as a function: arguments in, exit code out. Nothing escapes as an exception.</summary>
internal static class EarlyExitTool
{
    /// <summary>A text may begin with '@'; nobody expects it to name a file of arguments.</summary>
    private static readonly ParserConfiguration s_parsing = new() { ResponseFileTokenReplacer = null };

    /// <summary>Runs the command that the arguments name.</summary>
    /// <returns>One of <see cref="ExitCode"/>.</returns>
    public static int Run(IReadOnlyList<string> arguments, ToolContext context)
    {
        var verbose = new Option<bool>("--verbose") { Description = "Show the stack trace of an error.", Recursive = true };
        // Not a RootCommand: that one goes by the name of the assembly.
        var root = new System.CommandLine.Command(
            ToolContext.ToolName, "T5 text generation with early exit: converts, inspects and runs models, and draws what they do.")
        {
            new ConvertCommand(context), new InspectCommand(context), new GenerateCommand(context), new ScoreCommand(context), new EvaluateCommand(context),
            new CalibrateCommand(context), new BenchCommand(context), new FiguresCommand(context), new ReproduceCommand(context), new CompletionCommand(context),
            verbose, new VersionOption(), ExampleHelpAction.CreateOption(),
        };
        bool isVerbose = false;
        string command = "";
        try
        {
            if (Completer.TryComplete(arguments, line => root.Parse(line, s_parsing), context.Output))
                return ExitCode.Done;
            ParseResult parsed = root.Parse(arguments, s_parsing);
            if (parsed.CommandResult.Command != root)
                command = $" {parsed.CommandResult.Command.Name}";
            if (UsageErrors.Of(parsed) is { Count: > 0 } errors)
            {
                foreach (string message in errors)
                    context.Messages.Say(message);
                if (parsed.CommandResult.Command is ToolCommand wanted)
                    context.Messages.Say($"For example: {ToolContext.ToolName}{command} {wanted.Example}");
                return SayHelp();
            }

            isVerbose = parsed.GetValue(verbose);
            return parsed.Invoke(new InvocationConfiguration
            {
                Output = context.Output,
                Error = context.Messages.Writer,
                EnableDefaultExceptionHandler = false,
                ProcessTerminationTimeout = null,
            });
        }
        catch (ReaderLeftException)
        {
            context.Messages.ClearProgress();
            return ExitCode.Done;
        }
        catch (WrongUsageException exception)
        {
            context.Messages.Say(ErrorSentence.Message(exception));
            return SayHelp();
        }
        catch (OperationCanceledException) when (context.Cancellation.IsCancellationRequested)
        {
            context.Messages.Say("Cancelled.");
            return ExitCode.Cancelled;
        }
        catch (Exception exception)
        {
            context.Messages.Say(ErrorSentence.Of(exception, hint: !isVerbose));
            if (isVerbose)
                context.Messages.Say(exception.ToString());
            return ExitCode.Failed;
        }

        int SayHelp()
        {
            context.Messages.Say($"See '{ToolContext.ToolName}{command} --help'.");
            return ExitCode.WrongUsage;
        }
    }
}
