namespace Samples;

/// <summary>Paints a text from green, a token that exited early, to red, one that ran all layers. Where the output is no terminal the layer stands after it,
/// unless FORCE_COLOR is set.</summary>
internal static class LayerColours
{
    // The 256-colour palette's way from green over yellow to red.
    private static readonly int[] s_palette = [46, 82, 118, 154, 190, 226, 220, 214, 208, 202, 196];

    public static string Paint(string text, int layer, int layers)
    {
        if (Console.IsOutputRedirected && Environment.GetEnvironmentVariable("FORCE_COLOR") is null)
            return $"{text}‹{layer}›";
        int colour = s_palette[(layer - 1) * (s_palette.Length - 1) / Math.Max(1, layers - 1)];
        return $"\e[38;5;{colour}m{text}\e[0m";
    }
}
