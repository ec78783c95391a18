using System.Collections.Concurrent;

namespace Microsoft.ML.EarlyExit.Exit.Confidences;

/// <summary>The confidences of the user's that files may name.</summary>
internal static class RegisteredConfidences
{
    private static readonly ConcurrentDictionary<string, CustomConfidence> s_byName = new(StringComparer.Ordinal);

    /// <summary>Adds one; the same again changes nothing.</summary>
    /// <exception cref="InvalidOperationException">Another has the name.</exception>
    public static CustomConfidence Add(CustomConfidence confidence)
    {
        CustomConfidence registered = s_byName.GetOrAdd(confidence.Name, confidence);
        return registered.Equals(confidence)
            ? registered
            : throw new InvalidOperationException(
                $"Another confidence is registered as '{confidence.Name}'. Give this one another name, or register the same delegate: "
                + "one of a static method or field, not a new one each time.");
    }

    /// <summary>Whether a file that names the confidence gives this one back.</summary>
    public static bool Contains(CustomConfidence confidence) => Find(confidence.Name) is { } registered && registered.Equals(confidence);

    public static CustomConfidence? Find(string name) => s_byName.GetValueOrDefault(name);
}
