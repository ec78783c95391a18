using Microsoft.ML.Runtime;

namespace Microsoft.ML.EarlyExit;

/// <summary>The generations of one reader of rows, with what they have to say to the context's log.</summary>
internal sealed class TextGenerationRun(TextGenerationTransformer transformer) : IDisposable
{
    private IChannel? _channel;

    /// <summary>Generates for the texts of consecutive rows.</summary>
    /// <param name="texts">Their texts.</param>
    /// <param name="firstRow">The position of the first.</param>
    internal IReadOnlyList<GenerationResult> Generate(IReadOnlyList<GenerationInput> texts, long firstRow)
    {
        _channel ??= transformer.Host.Start("Generating text");
        IReadOnlyList<GenerationResult> results = transformer.Generate(texts);
        for (int i = 0; i < results.Count; i++)
        {
            if (results[i].CutInputTokens is > 0 and int cut)
            {
                _channel.Warning(
                    MessageSensitivity.None,
                    $"Row {firstRow + i}: the input exceeds MaxInputTokens ({transformer.Options.MaxInputTokens}); {cut} tokens were cut off its end.");
            }
        }

        string rows = results.Count == 1 ? $"row {firstRow}" : $"rows {firstRow} to {firstRow + results.Count - 1}";
        _channel.Trace(MessageSensitivity.None, $"Generated {rows}.");
        return results;
    }

    /// <summary>What was generated for a row, where something was.</summary>
    /// <exception cref="InvalidOperationException">The row could not be generated.</exception>
    internal static GenerationResult Check(GenerationResult result, long row) =>
        result.StopReason != StopReason.Error
            ? result
            : throw new InvalidOperationException($"Row {row}, counted from 0, could not be generated: {result.Error}");

    public void Dispose() => _channel?.Dispose();
}
