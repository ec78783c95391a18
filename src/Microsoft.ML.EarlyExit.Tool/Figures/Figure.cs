namespace Microsoft.ML.EarlyExit.Tool;

/// <summary>A figure and the numbers it shows.</summary>
/// <param name="Name">Its files' name, without extension.</param>
/// <param name="Title">What it shows, in a line.</param>
internal abstract record Figure(string Name, string Title)
{
    /// <summary>Writes <c>NAME.png</c>, <c>NAME.svg</c> and the numbers, <c>NAME.csv</c>, into a folder; each file appears whole or not at all.</summary>
    public void Save(string folder) => throw new NotImplementedException(folder);
}
