using System.CommandLine;
using System.CommandLine.Parsing;
using Microsoft.ML.EarlyExit.Tool.Interaction;

namespace Microsoft.ML.EarlyExit.Tool.Commands;

/// <summary><c>--resume</c>: whether to go on with the rows that an interrupted run left.</summary>
internal static class ResumeOption
{
    public const string Name = "--resume";

    public static Option<bool> Create() => new(Name)
    {
        Description = "Go on behind the rows that an interrupted run left in OUTPUT.partial, if there are any; needs --input and --output FILE.",
    };

    /// <summary>Refuses the option where there are no rows to skip or no file to go on with.</summary>
    public static void Validate(CommandResult result, Option<bool> resume, Option<string?> input, Option<string?> output)
    {
        if (!result.GetValue(resume))
            return;
        if (result.GetResult(input) is null)
            result.AddError($"{Name} goes on with rows; give them with --input.");
        if (result.GetResult(output) is not { } given || given.Tokens.Any(token => token.Value == PathSymbols.Standard))
            result.AddError($"{Name} goes on with a file; name it with --output.");
    }
}
