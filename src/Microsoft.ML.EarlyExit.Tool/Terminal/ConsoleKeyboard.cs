namespace Microsoft.ML.EarlyExit.Tool;

/// <summary>The keys of the process's terminal.</summary>
internal sealed class ConsoleKeyboard : IKeyboard
{
    private const int UsualColumns = 80;

    public int Columns
    {
        get
        {
            try
            {
                // A terminal that does not know its size says 0.
                return Console.WindowWidth is > 0 and var width ? width : UsualColumns;
            }
            catch (IOException)
            {
                return UsualColumns;
            }
        }
    }

    public void BeginLine() => Console.TreatControlCAsInput = true;

    public ConsoleKeyInfo ReadKey() => Console.ReadKey(intercept: true);

    public void EndLine() => Console.TreatControlCAsInput = false;
}
