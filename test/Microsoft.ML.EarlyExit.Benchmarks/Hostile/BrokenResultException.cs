namespace Microsoft.ML.EarlyExit.Benchmarks;

/// <summary>A hostile input was accepted, and what the library made of it breaks a promise.</summary>
internal sealed class BrokenResultException(string message) : Exception(message)
{
    /// <summary>Fails unless what must hold does.</summary>
    public static void Unless(bool holds, string message)
    {
        if (!holds)
            throw new BrokenResultException(message);
    }
}
