using Microsoft.ML.EarlyExit.Evaluation.Json;
using Microsoft.ML.EarlyExit.Generation;

namespace Microsoft.ML.EarlyExit.Tool.Commands;

/// <summary>An options file: the library's options, and what the rows are to say besides.</summary>
/// <param name="Options">The options.</param>
/// <param name="WritesOperations"><c>operations</c>: whether every row states its floating-point operations.</param>
internal sealed record GenerationOptionsFile(TextGenerationOptions Options, bool WritesOperations)
{
    /// <summary>Reads an options file.</summary>
    /// <exception cref="InvalidDataException">A field is unknown, occurs twice, or has an impossible value.</exception>
    public static GenerationOptionsFile Parse(Stream json, string sourceName) => JsonFields.Parse(
        json, sourceName,
        fields => new GenerationOptionsFile(TextGenerationOptionsJson.Read(fields), fields.Has("operations") && fields.GetBoolean("operations")));
}
