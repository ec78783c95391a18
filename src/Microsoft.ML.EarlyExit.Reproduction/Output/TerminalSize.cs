namespace Microsoft.ML.EarlyExit.Reproduction.Output;

/// <summary>The size of the process's terminal.</summary>
internal static class TerminalSize
{
    private const int UsualColumns = 80;

    /// <summary>How many characters a line has room for.</summary>
    public static int Columns
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
}
