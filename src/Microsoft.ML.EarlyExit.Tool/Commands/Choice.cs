using System.CommandLine;
using System.CommandLine.Parsing;

namespace Microsoft.ML.EarlyExit.Tool.Commands;

/// <summary>Options whose values have names.</summary>
internal static class Choice
{
    /// <summary>An option that is one of several names, spelled as files spell them.</summary>
    public static Option<string?> CreateOption(string name, string description, params string[] names)
    {
        var option = new Option<string?>(name)
        {
            Description = $"{description}: {string.Join(", ", names)}.",
            HelpName = "NAME",
            CustomParser = result => Parse(result, name, [.. names.Select(one => (one, one))]),
        };
        option.CompletionSources.Add(names);
        return option;
    }

    /// <summary>An option whose first value is the default one, which is the default of its type: help would print another by the type's own name for
    /// it.</summary>
    public static Option<T> CreateOption<T>(string name, string description, IReadOnlyList<(string Name, T Value)> values)
    {
        string[] names = [.. values.Select(value => value.Name)];
        var option = new Option<T>(name)
        {
            Description = $"{description}: {string.Join(", ", names)}; {names[0]} by default.",
            HelpName = "NAME",
            CustomParser = result => Parse(result, name, values),
        };
        // In the place of an enumeration's own names.
        option.CompletionSources.Clear();
        option.CompletionSources.Add(names);
        return option;
    }

    /// <summary>The value that a name stands for; another name is wrong usage.</summary>
    /// <param name="result">The argument.</param>
    /// <param name="symbol">What the argument is called, for the message.</param>
    /// <param name="values">The values by their names.</param>
    public static T? Parse<T>(ArgumentResult result, string symbol, IReadOnlyList<(string Name, T Value)> values)
    {
        string given = result.Tokens[0].Value;
        foreach ((string name, T value) in values)
        {
            if (name == given)
                return value;
        }

        IEnumerable<string> names = values.Select(value => value.Name);
        result.AddError($"{symbol} is '{given}'; it must be one of {string.Join(", ", names)}.{Suggestion.For(given, names)}");
        return default;
    }
}
