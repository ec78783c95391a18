namespace Microsoft.ML.EarlyExit.Tool.Interaction;

/// <summary>The keys of a terminal.</summary>
internal interface IKeyboard
{
    /// <summary>Columns of the terminal, for the line that is typed.</summary>
    int Columns { get; }

    /// <summary>Takes keys until <see cref="EndLine"/>; Ctrl+C is one of them meanwhile.</summary>
    void BeginLine();

    /// <summary>The next key, which is not echoed.</summary>
    ConsoleKeyInfo ReadKey();

    /// <summary>Leaves Ctrl+C to interrupt again.</summary>
    void EndLine();
}
