namespace Samples;

/// <summary>A row to generate from.</summary>
internal sealed class Prompt(string input)
{
    public string Input { get; } = input;
}
