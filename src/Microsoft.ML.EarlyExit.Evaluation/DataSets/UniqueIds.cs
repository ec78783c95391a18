using Microsoft.ML.EarlyExit.Evaluation.Json;

namespace Microsoft.ML.EarlyExit.Evaluation.DataSets;

/// <summary>The ids of a data set so far, and the lines they stand in.</summary>
internal sealed class UniqueIds
{
    private readonly Dictionary<string, long> _lines = new(StringComparer.Ordinal);

    /// <summary>Adds the id that was read last.</summary>
    /// <exception cref="InvalidDataException">It occurred before.</exception>
    internal void Add(string id, JsonTokenReader json)
    {
        if (_lines.TryAdd(id, json.Line))
            return;
        string place = json.Path.Length > 0 ? json.Path : "the number in place of an id";
        throw json.Fail($"{place} is '{JsonTokenReader.Shorten(id)}', which occurs in line {_lines[id]} already; ids must be unique.");
    }

    /// <summary>Refuses a file that ended without an example.</summary>
    internal void RequireAny(string path)
    {
        if (_lines.Count == 0)
            throw new InvalidDataException($"{path} has no examples.");
    }
}
