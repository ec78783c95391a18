using System.Text.Json;
using System.Text.RegularExpressions;
using Microsoft.ML.EarlyExit.Tool.Output;

namespace Microsoft.ML.EarlyExit.Tool.Commands;

/// <summary>The library names its options; whoever wrote a file knows them by the names of its fields, and whoever typed a command by its flags.</summary>
internal static class OptionNames
{
    private static readonly string[] s_names =
    [
        nameof(ExitPolicy.MinimumLayer), nameof(ExitPolicy.AskLayers), nameof(ExitPolicy.AskNearPrevious),
        nameof(ExitPolicy.Threshold), nameof(ExitPolicy.Thresholds), nameof(ExitPolicy.StaticExitLayer),
        nameof(ExitPolicy.Confidence),
        nameof(ExitPolicy.Pruning), nameof(ExitPolicy.FullVocabularyAtLastLayer), nameof(ExitPolicy.StatePropagation), nameof(ExitPolicy.ShallowDeep),
        nameof(ShallowDeep.ExitLayer), nameof(ShallowDeep.AdaptiveThreshold), nameof(ExitPolicy.SelfSpeculation), nameof(ExitPolicy.ReferenceCompatible),
        nameof(TextGenerationOptions.MinNewTokens), nameof(TextGenerationOptions.MaxNewTokens), nameof(TextGenerationOptions.MaxInputTokens),
        nameof(TextGenerationOptions.Truncate),
    ];

    private static readonly Regex s_namesPattern = new($@"\b({string.Join('|', s_names)})\b", RegexOptions.CultureInvariant);

    private static readonly (string Name, string Flag)[] s_flags =
    [
        (nameof(EarlyExitModelOptions.ThreadCount), "--threads"), (nameof(EarlyExitModelOptions.GpuDeviceId), "--gpu"),
        // The way out of a device that cannot be used.
        ($"or allow {nameof(EarlyExitModelOptions.FallbackToCpu)}", "or leave --gpu out"),
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

    /// <summary>Checks what flags made of a file.</summary>
    /// <param name="check">The library's check of both.</param>
    /// <param name="flags">The flags that were given.</param>
    /// <param name="checkFile">The check of the file without the flags.</param>
    /// <param name="path">The file; null where there is none.</param>
    /// <exception cref="InvalidDataException">The library refuses the file.</exception>
    /// <exception cref="WrongUsageException">It refuses the flags, or what they make of the file.</exception>
    public static void Check(Action check, IReadOnlyCollection<string> flags, Action checkFile, string? path)
    {
        Check(checkFile, path);
        try
        {
            check();
        }
        catch (ArgumentException exception) when (flags.Count > 0)
        {
            throw new WrongUsageException(
                flags.Aggregate(InFiles(ErrorSentence.Message(exception)), (text, flag) => Regex.Replace(text, $@"\b{FieldOf(flag)}\b", flag)), exception);
        }
    }

    /// <summary>A message of the library with the fields' names.</summary>
    public static string InFiles(string message) => s_namesPattern.Replace(message, name => JsonNamingPolicy.CamelCase.ConvertName(name.Value));

    /// <summary>A message of the library about what only flags say.</summary>
    public static string InFlags(string message) => s_flags.Aggregate(message, (text, one) => Regex.Replace(text, $@"\b{one.Name}\b", one.Flag));

    private static string FieldOf(string flag) => Regex.Replace(flag.TrimStart('-'), "-(.)", match => match.Groups[1].Value.ToUpperInvariant());
}
