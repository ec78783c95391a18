using System.CommandLine;
using System.CommandLine.Help;

namespace Microsoft.ML.EarlyExit.Tool;

/// <summary>The tool as a function: arguments in, exit code out. Nothing escapes as an exception.</summary>
internal static class EarlyExitTool
{
    public const string Name = "early-exit";

    /// <summary>Runs the command that the arguments name.</summary>
    /// <returns>One of <see cref="ExitCode"/>.</returns>
    public static int Run(IReadOnlyList<string> arguments, ToolContext context)
    {
        var verbose = new Option<bool>("--verbose") { Description = "Show the stack trace of an error.", Recursive = true };
        // Not a RootCommand: that one goes by the name of the assembly.
        var root = new System.CommandLine.Command(Name, "T5 text generation with early exit: converts, inspects and runs models, and draws what they do.")
        {
            new ConvertCommand(context), new InspectCommand(context), new GenerateCommand(context), new ScoreCommand(context), new EvaluateCommand(context),
            new CalibrateCommand(context), new FiguresCommand(context), new ReproduceCommand(context),
            verbose, new VersionOption(), ExampleHelpAction.CreateOption(),
        };
        // A text may begin with '@'; nobody expects it to name a file of arguments.
        ParseResult parsed = root.Parse(arguments, new ParserConfiguration { ResponseFileTokenReplacer = null });
        if (parsed.Errors.Count > 0)
        {
            foreach (string message in parsed.Errors.Select(error => error.Message).Distinct())
                context.Messages.Say(message);
            string command = parsed.CommandResult.Command == root ? "" : $" {parsed.CommandResult.Command.Name}";
            context.Messages.Say($"See '{Name}{command} --help'.");
            return ExitCode.WrongUsage;
        }

        try
        {
            return parsed.Invoke(new InvocationConfiguration
            {
                Output = context.Output,
                Error = context.Messages.Writer,
                EnableDefaultExceptionHandler = false,
                ProcessTerminationTimeout = null,
            });
        }
        catch (OperationCanceledException) when (context.Cancellation.IsCancellationRequested)
        {
            context.Messages.Say("Cancelled.");
            return ExitCode.Cancelled;
        }
        catch (Exception exception)
        {
            bool isVerbose = parsed.GetValue(verbose);
            context.Messages.Say(ErrorSentence.Of(exception, hint: !isVerbose));
            if (isVerbose)
                context.Messages.Say(exception.ToString());
            return ExitCode.Failed;
        }
    }
}
