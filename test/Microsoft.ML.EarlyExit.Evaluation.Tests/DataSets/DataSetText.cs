using System.Text;
using Microsoft.ML.EarlyExit.Evaluation.DataSets;

namespace Microsoft.ML.EarlyExit.Evaluation.Tests;

/// <summary>A small data set in a file of its own, deleted on disposal.</summary>
internal sealed class DataSetText : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("early-exit-").FullName;

    public DataSetText(string text, string name = "data.json")
        : this(Encoding.UTF8.GetBytes(text), name)
    {
    }

    public DataSetText(byte[] bytes, string name = "data.json")
    {
        Path = System.IO.Path.Combine(_folder, name);
        File.WriteAllBytes(Path, bytes);
    }

    public string Path { get; }

    public DataSetExample[] Read(DataSetFormat format) => [.. DataSetFile.Read(Path, format)];

    /// <summary>Checks that reading refuses the file with a message that names it and holds these words.</summary>
    public void AssertRefused(DataSetFormat format, params string[] words)
    {
        string message = Assert.Throws<InvalidDataException>(() => Read(format)).Message;
        Assert.All(words.Prepend(Path), word => Assert.Contains(word, message, StringComparison.Ordinal));
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);
}
