using System.CommandLine;
using System.CommandLine.Parsing;

namespace Microsoft.ML.EarlyExit.Tool;

/// <summary>Arguments and options that name a file or folder; an empty name is wrong usage.</summary>
internal static class PathSymbols
{
    public static Argument<string> CreateArgument(string name, string description)
    {
        var argument = new Argument<string>(name) { Description = description };
        argument.Validators.Add(result => RefuseEmpty(result, name));
        return argument;
    }

    public static Option<string?> CreateFileOption(string name, string description)
    {
        var option = new Option<string?>(name) { Description = description, HelpName = "FILE" };
        option.Validators.Add(result => RefuseEmpty(result, name));
        return option;
    }

    /// <summary>An option that may be given several times.</summary>
    public static Option<string[]> CreateFilesOption(string name, string description)
    {
        var option = new Option<string[]>(name) { Description = description, HelpName = "FILE" };
        option.Validators.Add(result => RefuseEmpty(result, name));
        return option;
    }

    private static void RefuseEmpty(SymbolResult result, string name)
    {
        if (result.Tokens.Any(token => token.Value.Length == 0))
            result.AddError($"{name} is empty; it must name a file or folder.");
    }
}
