namespace Microsoft.ML.EarlyExit.Tool.Output;

/// <summary>What the process returns.</summary>
internal static class ExitCode
{
    public const int Done = 0;
    public const int Failed = 1;
    public const int WrongUsage = 2;

    /// <summary>What shells expect of a program that ended because of Ctrl+C.</summary>
    public const int Cancelled = 130;
}
