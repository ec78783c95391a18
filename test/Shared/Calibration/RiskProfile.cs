namespace Microsoft.ML.EarlyExit.Testing;

/// <summary>How the true risks grow down a grid.</summary>
internal enum RiskProfile
{
    /// <summary>Step by step, past δ.</summary>
    Gradual,

    /// <summary>Far below δ, then just above it.</summary>
    Border,

    /// <summary>Just above δ at one threshold, with smaller risks after it.</summary>
    Spike,
}
