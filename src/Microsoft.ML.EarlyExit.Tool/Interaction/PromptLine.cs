using System.Text;
using Microsoft.ML.EarlyExit.Tool.Output;

namespace Microsoft.ML.EarlyExit.Tool.Interaction;

/// <summary>A prompt line: asks for texts and answers each, until whoever types leaves.</summary>
/// <param name="context">The terminal.</param>
/// <param name="answer">Generates for a text, and can be cancelled.</param>
internal sealed class PromptLine(ToolContext context, Action<string, CancellationToken> answer)
{
    private const string Prompt = "> ";

    /// <summary>Asks until Ctrl+D, or Ctrl+C twice.</summary>
    /// <returns>One of <see cref="ExitCode"/>.</returns>
    public int Run()
    {
        Terminal terminal = context.Terminal!;
        Func<TypedLine> read = terminal.MovesCursor
            ? new LineEditor(terminal.Keyboard!, context.Output, Prompt).Read
            : ReadPlain(new StreamReader(context.Input, Encoding.UTF8));
        bool wasInterrupted = false;
        while (true)
        {
            TypedLine line = read();
            if (line.End == LineEnd.Closed)
                return ExitCode.Done;
            if (line.End == LineEnd.Interrupted)
            {
                if (wasInterrupted && line.Text.Length == 0)
                    return ExitCode.Cancelled;
                if (line.Text.Length == 0)
                    context.Messages.Say("Ctrl+C again or Ctrl+D leaves.");
                wasInterrupted = true;
            }
            else if (!string.IsNullOrWhiteSpace(line.Text))
            {
                wasInterrupted = !Answer(terminal.Interruption, line.Text);
            }
        }
    }

    /// <summary>Answers one text.</summary>
    /// <returns>False where Ctrl+C ended it.</returns>
    private bool Answer(Interruption interruption, string text)
    {
        using CancellationTokenSource part = interruption.BeginPart();
        try
        {
            answer(text, part.Token);
            return true;
        }
        catch (OperationCanceledException) when (part.IsCancellationRequested && !interruption.Whole.IsCancellationRequested)
        {
            context.Messages.Say("Cancelled.");
            return false;
        }
    }

    private Func<TypedLine> ReadPlain(StreamReader reader) => () =>
    {
        context.Output.Write(Prompt);
        return reader.ReadLine() is { } text ? new TypedLine(text, LineEnd.Entered) : new TypedLine("", LineEnd.Closed);
    };
}
