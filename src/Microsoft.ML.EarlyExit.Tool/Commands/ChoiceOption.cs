using System.CommandLine;

namespace Microsoft.ML.EarlyExit.Tool;

/// <summary>Options whose value is one of a few names.</summary>
internal static class ChoiceOption
{
    /// <summary>An option whose first value is the default one.</summary>
    public static Option<T> Create<T>(string name, string description, IReadOnlyList<(string Name, T Value)> values)
    {
        string names = string.Join(", ", values.Select(value => value.Name));
        return new Option<T>(name)
        {
            Description = $"{description}: {names}; {values[0].Name} by default.",
            HelpName = "NAME",
            DefaultValueFactory = _ => values[0].Value,
            CustomParser = result =>
            {
                string given = result.Tokens[0].Value;
                foreach ((string known, T value) in values)
                {
                    if (known == given)
                        return value;
                }

                result.AddError($"{name} is '{given}'; it must be one of {names}.");
                return default;
            },
        };
    }
}
