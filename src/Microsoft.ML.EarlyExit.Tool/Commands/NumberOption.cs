using System.CommandLine;
using System.Globalization;

namespace Microsoft.ML.EarlyExit.Tool.Commands;

/// <summary>Options that are numbers of a range; null where they are not given.</summary>
internal static class NumberOption
{
    /// <summary>A whole number.</summary>
    public static Option<int?> CreateWhole(string name, string description, int least, int most) => new(name)
    {
        Description = description,
        HelpName = "N",
        CustomParser = result =>
        {
            string given = result.Tokens[0].Value;
            if (int.TryParse(given, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int number) && number >= least && number <= most)
                return number;
            result.AddError($"{name} is '{given}'; it must be a whole number {(most == int.MaxValue ? $"of at least {least}" : $"from {least} to {most}")}.");
            return null;
        },
    };

    /// <summary>A number.</summary>
    /// <param name="name">The option.</param>
    /// <param name="description">What it does.</param>
    /// <param name="range">The range in words.</param>
    /// <param name="isInRange">Whether a finite number is in it.</param>
    public static Option<float?> CreateReal(string name, string description, string range, Predicate<float> isInRange) => new(name)
    {
        Description = description,
        HelpName = "X",
        CustomParser = result =>
        {
            string given = result.Tokens[0].Value;
            if (float.TryParse(given, NumberStyles.Float, CultureInfo.InvariantCulture, out float number) && float.IsFinite(number) && isInRange(number))
                return number;
            result.AddError($"{name} is '{given}'; it must be a number {range}.");
            return null;
        },
    };
}
