namespace Microsoft.ML.EarlyExit.Tool.Interaction;

/// <summary>What ended a line that was typed.</summary>
internal enum LineEnd
{
    /// <summary>Enter.</summary>
    Entered,

    /// <summary>Ctrl+C.</summary>
    Interrupted,

    /// <summary>Ctrl+D on an empty line: no line follows.</summary>
    Closed,
}
