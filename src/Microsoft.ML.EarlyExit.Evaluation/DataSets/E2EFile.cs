using Microsoft.ML.EarlyExit.Evaluation.Files;
using Microsoft.ML.EarlyExit.Evaluation.Json;

namespace Microsoft.ML.EarlyExit.Evaluation.DataSets;

/// <summary>Reads the E2E NLG challenge: CSV with the columns <c>mr</c> and <c>ref</c>.</summary>
internal static class E2EFile
{
    /// <summary>The meanings of a file in the order of their first rows. A meaning's rows need not stand together, so the whole file is read before the
    /// first.</summary>
    internal static IEnumerable<E2EMeaning> Read(string path)
    {
        var references = new Dictionary<string, List<string>>(StringComparer.Ordinal);
        var meanings = new List<string>();
        using (FileStream stream = InputFile.Open(path))
        {
            var csv = new CsvReader(stream, path);
            string[] header = csv.Read(2) ?? throw new InvalidDataException($"{path} is empty.");
            if (header is not ["mr", "ref"])
                throw csv.Fail($"the columns are '{JsonTokenReader.Shorten(string.Join(',', header))}'; they must be mr,ref.");
            while (csv.Read(2) is { } fields)
            {
                if (!references.TryGetValue(fields[0], out List<string>? found))
                {
                    meanings.Add(fields[0]);
                    references.Add(fields[0], found = []);
                }

                found.Add(fields[1]);
            }
        }

        if (meanings.Count == 0)
            throw new InvalidDataException($"{path} has no examples.");
        foreach (string meaning in meanings)
            yield return new E2EMeaning(meaning, [.. references[meaning]]);
    }
}
