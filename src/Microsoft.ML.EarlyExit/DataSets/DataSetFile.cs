namespace Microsoft.ML.EarlyExit;

/// <summary>Reads data sets, one example after the other.</summary>
internal static class DataSetFile
{
    /// <summary>The form of a file by its name and beginning.</summary>
    /// <exception cref="InvalidDataException">It is none of those known; the message names them.</exception>
    public static DataSetFormat Detect(string path) => throw new NotImplementedException();

    /// <summary>The examples of a file.</summary>
    /// <exception cref="InvalidDataException">The file is not of that form; the message names the file, the line or path, and the field.</exception>
    public static IEnumerable<DataSetExample> Read(string path, DataSetFormat format) => throw new NotImplementedException();
}
