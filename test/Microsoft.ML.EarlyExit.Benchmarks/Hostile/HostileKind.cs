namespace Microsoft.ML.EarlyExit.Benchmarks;

/// <summary>A kind of untrusted input: how it is made of a sound one, and who receives it.</summary>
/// <param name="name">Names it in tables and seeds.</param>
/// <param name="share">Its share of a campaign, per cent.</param>
internal abstract class HostileKind(string name, int share)
{
    public string Name => name;

    public int Share => share;

    /// <summary>Writes an input.</summary>
    /// <param name="random">Decides everything.</param>
    /// <param name="folder">An empty folder.</param>
    /// <returns>What was changed.</returns>
    public abstract string Write(HostileRandom random, string folder);

    /// <summary>Gives the input to the library and uses what it makes of it.</summary>
    /// <param name="random">Decides how it is used.</param>
    /// <param name="folder">What <see cref="Write"/> wrote.</param>
    /// <returns>A row's error; null where all is accepted.</returns>
    /// <exception cref="RefusalException">The input is refused as documented; any other exception is a fault.</exception>
    public abstract string? Receive(HostileRandom random, string folder);

    /// <summary>Makes a call that may throw exceptions of the documented types.</summary>
    protected static T Call<T>(Func<T> call, params ReadOnlySpan<Type> documented)
    {
        try
        {
            return call();
        }
        catch (Exception exception) when (exception is not RefusalException)
        {
            foreach (Type type in documented)
            {
                if (type.IsInstanceOfType(exception))
                    throw new RefusalException(exception);
            }

            throw;
        }
    }
}
