namespace Samples;

/// <summary>What is known of a place, and descriptions of it that would be right.</summary>
internal sealed class Place(string input, params string[] references)
{
    public string Input { get; } = input;

    public string[] References { get; } = references;
}
