namespace Microsoft.ML.EarlyExit.Benchmarks;

/// <summary>An input was refused with an exception that is documented where it was given.</summary>
internal sealed class RefusalException(Exception refusal) : Exception(refusal.Message, refusal)
{
    public Exception Refusal { get; } = refusal;
}
