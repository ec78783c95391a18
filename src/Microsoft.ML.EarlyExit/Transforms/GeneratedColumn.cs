using Microsoft.ML.Data;
using Microsoft.ML.EarlyExit.DataViews;

namespace Microsoft.ML.EarlyExit.Transforms;

/// <summary>The columns that a text generation can add.</summary>
internal static class GeneratedColumn
{
    internal static OutputColumn<GenerationResult> Text { get; } =
        OutputColumn<GenerationResult>.Scalar("outputColumnName", TextDataViewType.Instance, result => result.Text.AsMemory());

    internal static OutputColumn<GenerationResult> TokenIds { get; } = OutputColumn<GenerationResult>.Vector("tokenIdsColumnName", result => result.TokenIds);

    internal static OutputColumn<GenerationResult> ExitLayers { get; } =
        OutputColumn<GenerationResult>.Vector("exitLayersColumnName", result => result.ExitLayers);

    internal static OutputColumn<GenerationResult> Confidences { get; } =
        OutputColumn<GenerationResult>.Vector("confidencesColumnName", result => result.Confidences);

    internal static OutputColumn<GenerationResult> StopReason { get; } =
        OutputColumn<GenerationResult>.Scalar("stopReasonColumnName", TextDataViewType.Instance, result => result.StopReason.ToString().AsMemory());

    internal static OutputColumn<GenerationResult> OperationCounts { get; } = OutputColumn<GenerationResult>.Vector(
        "operationCountsColumnName",
        result => (long[])[
            result.Operations.Decoder, result.Operations.StatePropagation, result.Operations.Confidence, result.Operations.Head, result.Operations.Paper],
        "Decoder", "StatePropagation", "Confidence", "Head", "Paper");

    /// <summary>Every generated column, in the order in which they are added to a schema.</summary>
    internal static IReadOnlyList<OutputColumn<GenerationResult>> All { get; } = [Text, TokenIds, ExitLayers, Confidences, StopReason, OperationCounts];
}
