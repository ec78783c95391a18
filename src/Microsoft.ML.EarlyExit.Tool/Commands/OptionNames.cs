using System.Text.Json;
using System.Text.RegularExpressions;

namespace Microsoft.ML.EarlyExit.Tool;

/// <summary>The library names its options; whoever wrote a file knows them by the names of its fields.</summary>
internal static class OptionNames
{
    private static readonly string[] s_names =
    [
        nameof(ExitPolicy.MinimumLayer), nameof(ExitPolicy.Threshold), nameof(ExitPolicy.Thresholds), nameof(ExitPolicy.StaticExitLayer),
        nameof(ExitPolicy.Pruning), nameof(ExitPolicy.FullVocabularyAtLastLayer), nameof(ExitPolicy.StatePropagation), nameof(ExitPolicy.ShallowDeep),
        nameof(ShallowDeep.ExitLayer), nameof(ShallowDeep.AdaptiveThreshold), nameof(ExitPolicy.SelfSpeculation), nameof(ExitPolicy.ReferenceCompatible),
        nameof(TextGenerationOptions.MinNewTokens), nameof(TextGenerationOptions.MaxNewTokens),
    ];

    /// <summary>Checks what was read from a file; what the library refuses is said in the file's words.</summary>
    /// <param name="check">The library's check.</param>
    /// <param name="path">The file; null where there is none.</param>
    /// <exception cref="InvalidDataException">The library refuses it.</exception>
    public static void Check(Action check, string? path)
    {
        try
        {
            check();
        }
        catch (ArgumentException exception) when (path is not null)
        {
            throw new InvalidDataException($"{path}: {InFiles(ErrorSentence.Message(exception))}", exception);
        }
    }

    /// <summary>A message of the library with the fields' names.</summary>
    public static string InFiles(string message) =>
        s_names.Aggregate(message, (text, name) => Regex.Replace(text, $@"\b{name}\b", JsonNamingPolicy.CamelCase.ConvertName(name)));
}
