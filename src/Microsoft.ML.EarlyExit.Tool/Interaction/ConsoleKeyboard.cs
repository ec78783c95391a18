using Microsoft.ML.EarlyExit.Reproduction.Output;

namespace Microsoft.ML.EarlyExit.Tool.Interaction;

/// <summary>The keys of the process's terminal.</summary>
internal sealed class ConsoleKeyboard : IKeyboard
{
    public int Columns => TerminalSize.Columns;

    public void BeginLine() => Console.TreatControlCAsInput = true;

    public ConsoleKeyInfo ReadKey() => Console.ReadKey(intercept: true);

    public void EndLine() => Console.TreatControlCAsInput = false;
}
