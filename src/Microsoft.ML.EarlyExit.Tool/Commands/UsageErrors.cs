using System.CommandLine;
using System.CommandLine.Parsing;

namespace Microsoft.ML.EarlyExit.Tool.Commands;

/// <summary>What is wrong with a command line, in words for whoever typed it.</summary>
internal static class UsageErrors
{
    /// <summary>The errors; none where there are none.</summary>
    public static IReadOnlyList<string> Of(ParseResult parsed)
    {
        if (parsed.Action is ExampleHelpAction)
            return [];
        CommandResult command = parsed.CommandResult;

        // A mistyped option that stands where an argument may is taken for one.
        string? taken = parsed.Tokens.Any(token => token.Type == TokenType.DoubleDash)
            ? null
            : command.Children.OfType<ArgumentResult>().SelectMany(argument => argument.Tokens).Select(token => token.Value).FirstOrDefault(LooksLikeOption);
        if (taken is not null)
            return [Unknown(taken, parsed)];
        if (parsed.Errors.Count == 0)
            return [];
        if (parsed.UnmatchedTokens is [var unmatched, ..])
        {
            // What stands around a mistyped command were its arguments, and what follows a mistyped option its value.
            bool isCommand = command.Command.Subcommands.Count > 0;
            return [Unknown(parsed.UnmatchedTokens.FirstOrDefault(token => LooksLikeOption(token) != isCommand) ?? unmatched, parsed)];
        }

        if (command.Command.Subcommands.Count > 0)
            return [$"Name a command: {string.Join(", ", command.Command.Subcommands.Select(one => one.Name))}."];
        return [.. parsed.Errors.OrderBy(error => error.SymbolResult is ArgumentResult ? 0 : 1).Select(Describe).Distinct()];
    }

    private static string Describe(ParseError error) => error.SymbolResult switch
    {
        ArgumentResult { Tokens.Count: 0 } missing => $"{missing.Argument.Name} is missing. {missing.Argument.Description}",
        OptionResult { Implicit: true } missing => $"{missing.Option.Name} {missing.Option.HelpName} is missing. {missing.Option.Description}",
        OptionResult { Tokens.Count: 0 } empty => $"{empty.Option.Name} has no {empty.Option.HelpName ?? "value"} after it. {empty.Option.Description}",
        _ => error.Message,
    };

    private static string Unknown(string token, ParseResult parsed)
    {
        System.CommandLine.Command command = parsed.CommandResult.Command;
        if (LooksLikeOption(token))
        {
            string name = token.Split('=', 2)[0];
            return $"There is no option {name}.{Suggestion.For(name, Options(parsed.CommandResult).Select(option => option.Name))}";
        }

        return command.Subcommands.Count > 0
            ? $"There is no command '{token}'.{Suggestion.For(token, command.Subcommands.Select(one => one.Name))}"
            : $"'{token}' is one argument too many.";
    }

    private static IEnumerable<Option> Options(CommandResult command) =>
        command.Command.Options.Concat((command.Parent as CommandResult)?.Command.Options.Where(option => option.Recursive) ?? []);

    private static bool LooksLikeOption(string token) => token.Length > 1 && token[0] == '-';
}
