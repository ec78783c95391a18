namespace Microsoft.ML.EarlyExit.Conversion.Checkpoint;

/// <summary>Text of an untrusted file, fit for a message.</summary>
internal static class CheckpointText
{
    private const int MaxLength = 100;

    /// <summary>The text, shortened, without control characters.</summary>
    public static string Shown(string text)
    {
        string shown = text.Length <= MaxLength ? text : $"{text.AsSpan(0, MaxLength)}…";
        return string.Create(shown.Length, shown, static (characters, source) =>
        {
            for (int i = 0; i < characters.Length; i++)
            {
                characters[i] = char.IsControl(source[i]) ? ' ' : source[i];
            }
        });
    }

    /// <summary>A shape as <c>[512, 64]</c>.</summary>
    public static string Shown(IEnumerable<int> shape) => $"[{string.Join(", ", shape)}]";
}
