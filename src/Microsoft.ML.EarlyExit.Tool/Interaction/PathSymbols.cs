using System.CommandLine;
using System.CommandLine.Parsing;
using Microsoft.ML.EarlyExit.Evaluation.Files;

namespace Microsoft.ML.EarlyExit.Tool.Interaction;

/// <summary>Arguments and options that name a file or folder; an empty name is wrong usage.</summary>
internal static class PathSymbols
{
    /// <summary>In the place of a file: standard input, or standard output.</summary>
    public const string Standard = "-";

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

    /// <summary>The file that an option names for writing; null for standard output, also where it is not given.</summary>
    public static string? GetOutput(ParseResult parsed, Option<string?> option) => parsed.GetValue(option) is { } path and not Standard ? path : null;

    /// <summary>Opens a file for reading, or standard input.</summary>
    public static Stream Open(string path, ToolContext context) => path == Standard ? context.Input : InputFile.Open(path);

    /// <summary>Reads a whole file, or standard input.</summary>
    /// <param name="path">The file.</param>
    /// <param name="context">Has standard input.</param>
    /// <param name="parse">Makes something of its bytes; is told its name for messages.</param>
    public static T Read<T>(string path, ToolContext context, Func<Stream, string, T> parse)
    {
        using Stream stream = Open(path, context);
        return parse(stream, Name(path));
    }

    /// <summary>A file's name for messages.</summary>
    public static string Name(string path) => path == Standard ? "standard input" : path;

    /// <summary>Refuses a command line on which several of a command's options read standard input.</summary>
    public static void ReadStandardInputOnce(System.CommandLine.Command command, params Option[] options) => command.Validators.Add(result =>
    {
        string[] readers =
        [
            .. options
                .Where(option => result.GetResult(option) is { } given && given.Tokens.Any(token => token.Value == Standard))
                .Select(option => option.Name),
        ];
        if (readers.Length > 1)
            result.AddError($"{string.Join(" and ", readers)} are all '{Standard}'; standard input can be read only once.");
    });

    private static void RefuseEmpty(SymbolResult result, string name)
    {
        if (result.Tokens.Any(token => token.Value.Length == 0))
            result.AddError($"{name} is empty; it must name a file or folder.");
    }
}
