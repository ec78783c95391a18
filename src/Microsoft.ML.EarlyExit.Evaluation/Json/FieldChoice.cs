namespace Microsoft.ML.EarlyExit.Evaluation.Json;

/// <summary>A field whose values have names.</summary>
internal static class FieldChoice
{
    /// <summary>What the field's name stands for.</summary>
    /// <exception cref="InvalidDataException">It stands for nothing.</exception>
    public static T GetChoice<T>(this JsonFields fields, string name, params ReadOnlySpan<(string Name, T Value)> choices)
    {
        string given = fields.GetString(name);
        var names = new List<string>();
        foreach ((string choice, T value) in choices)
        {
            if (choice == given)
                return value;
            names.Add(choice);
        }

        throw fields.Refuse(name, $"it must be {Alternatives(names)}");
    }

    /// <summary>Names as a sentence has them.</summary>
    public static string Alternatives(IReadOnlyList<string> names) =>
        names.Count == 1 ? names[0] : $"{string.Join(", ", names.Take(names.Count - 1))} or {names[^1]}";
}
