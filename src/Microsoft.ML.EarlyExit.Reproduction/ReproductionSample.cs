using System.Security.Cryptography;
using Microsoft.ML.EarlyExit.Evaluation.DataSets;
using Microsoft.ML.EarlyExit.Evaluation.Files;

namespace Microsoft.ML.EarlyExit.Reproduction;

/// <summary>The examples that all cells and models are run on.</summary>
/// <param name="Settings">Where they come from.</param>
/// <param name="Format">The data's form.</param>
/// <param name="Examples">The examples, in the file's order.</param>
internal sealed record ReproductionSample(SampleSettings Settings, DataSetFormat Format, IReadOnlyList<DataSetExample> Examples)
{
    /// <summary>The formats by their names on the command line.</summary>
    public static IReadOnlyDictionary<string, DataSetFormat> Formats { get; } = new Dictionary<string, DataSetFormat>(StringComparer.OrdinalIgnoreCase)
    {
        ["squad"] = DataSetFormat.Squad,
        ["samsum"] = DataSetFormat.SamSum,
        ["e2e"] = DataSetFormat.E2E,
        ["rows"] = DataSetFormat.Rows,
        ["tsv"] = DataSetFormat.TwoColumns,
    };

    /// <summary>Reads a data set and draws from it.</summary>
    /// <param name="path">The file.</param>
    /// <param name="format">Its form; null to find out.</param>
    /// <param name="count">How many examples; where there are fewer, all are taken.</param>
    /// <param name="seed">What they are drawn with.</param>
    /// <exception cref="InvalidDataException">The file is not of that form, is empty, or mixes answers and references.</exception>
    public static ReproductionSample Draw(string path, DataSetFormat? format, int count, int seed)
    {
        string sha256;
        using (FileStream stream = InputFile.Open(path))
            sha256 = Convert.ToHexStringLower(SHA256.HashData(stream));
        DataSetFormat form = format ?? DataSetFile.Detect(path);
        DataSetExample[] all = [.. DataSetFile.Read(path, form)];
        if (all.Length == 0)
            throw new InvalidDataException($"The data set '{path}' has no examples.");
        if (all.Any(example => example.AreAnswers != all[0].AreAnswers))
            throw new InvalidDataException($"The data set '{path}' has rows with answers and rows with references; give them as two files.");

        int[] indices = [.. Enumerable.Range(0, all.Length)];
        int taken = Math.Min(count, all.Length);
        var random = new Random(seed);
        for (int index = 0; index < taken; index++)
        {
            int other = random.Next(index, all.Length);
            (indices[index], indices[other]) = (indices[other], indices[index]);
        }

        DataSetExample[] examples = [.. indices.Take(taken).Order().Select(index => all[index])];
        string name = Formats.Single(pair => pair.Value == form).Key;
        return new ReproductionSample(
            new SampleSettings(Path.GetFileName(path), sha256, name, all[0].AreAnswers ? "answers" : "references", all.Length, taken, seed), form, examples);
    }
}
