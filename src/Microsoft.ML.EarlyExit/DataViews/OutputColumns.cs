using System.Text.Json;
using Microsoft.ML.EarlyExit.Evaluation.Json;

namespace Microsoft.ML.EarlyExit.DataViews;

/// <summary>The columns that a transformer adds, with their names.</summary>
/// <typeparam name="TResult">What the transformer makes of a row.</typeparam>
internal sealed class OutputColumns<TResult>
{
    /// <param name="all">All there can be, in the order in which they are added to a schema.</param>
    /// <param name="names">The name of each, null for those that are not wanted.</param>
    /// <param name="advice">What to do where none is wanted, for a message.</param>
    internal OutputColumns(IReadOnlyList<OutputColumn<TResult>> all, IEnumerable<(OutputColumn<TResult> Column, string? Name)> names, string advice)
    {
        List<(OutputColumn<TResult> Column, string Name)> named = [];
        foreach ((OutputColumn<TResult> column, string? name) in names)
        {
            if (name is null)
                continue;
            ArgumentException.ThrowIfNullOrWhiteSpace(name, column.Parameter);
            if (named.Find(other => other.Name == name).Column is { } other)
                throw new ArgumentException($"Column '{name}' cannot be both {other.Parameter} and {column.Parameter}: name two columns.", column.Parameter);
            named.Add((column, name));
        }

        if (named.Count == 0)
            throw new ArgumentException(advice, all[0].Parameter);
        Named = [.. all.SelectMany(column => named.Where(output => output.Column == column))];
    }

    /// <summary>The columns that are wanted.</summary>
    internal IReadOnlyList<(OutputColumn<TResult> Column, string Name)> Named { get; }

    /// <summary>Reads the names of columns as <see cref="Write"/> wrote them.</summary>
    internal static IEnumerable<(OutputColumn<TResult> Column, string? Name)> Read(IReadOnlyList<OutputColumn<TResult>> all, JsonFields fields) =>
        [.. all.Select(column => (column, fields.Has(column.Parameter) ? fields.GetString(column.Parameter) : null))];

    /// <summary>The name of a column; null where it is not wanted.</summary>
    internal string? NameOf(OutputColumn<TResult> column) => Named.FirstOrDefault(output => output.Column == column).Name;

    internal void Write(Utf8JsonWriter writer)
    {
        foreach ((OutputColumn<TResult> column, string name) in Named)
            writer.WriteString(column.Parameter, name);
    }

    /// <summary>The shape of a schema with the columns added.</summary>
    internal SchemaShape AddTo(SchemaShape inputSchema)
    {
        var columns = new OrderedDictionary<string, SchemaShape.Column>();
        foreach (SchemaShape.Column column in inputSchema)
            columns[column.Name] = column;
        foreach ((OutputColumn<TResult> column, string name) in Named)
            columns[name] = column.ToShape(name);
        return new SchemaShape(columns.Values);
    }
}
