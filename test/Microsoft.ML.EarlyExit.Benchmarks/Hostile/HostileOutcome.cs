namespace Microsoft.ML.EarlyExit.Benchmarks;

/// <summary>What came of one input.</summary>
internal enum HostileOutcome
{
    /// <summary>It was used from beginning to end.</summary>
    Accepted,

    /// <summary>It was refused with a documented exception.</summary>
    Refused,

    /// <summary>It was accepted, and a row of it has an error.</summary>
    RowError,

    /// <summary>An exception that is not documented, or a result that breaks a promise.</summary>
    Undocumented,

    /// <summary>The process died.</summary>
    Crash,

    /// <summary>It took longer than the limit.</summary>
    Hang,

    /// <summary>The process took more memory than the limit.</summary>
    Memory,
}
