using System.Text.Json.Serialization;
using Microsoft.ML.EarlyExit.Evaluation.Text;

namespace Microsoft.ML.EarlyExit;

/// <summary>How one token came about.</summary>
public sealed record GenerationStep
{
    [JsonConstructor]
    internal GenerationStep(int tokenId, int exitLayer, IReadOnlyList<ConfidenceEvaluation> evaluations, OperationCounts operations)
    {
        TokenId = tokenId;
        ExitLayer = exitLayer;
        Evaluations = evaluations;
        Operations = operations;
    }

    /// <summary>The id that was chosen.</summary>
    public int TokenId { get; }

    /// <summary>Decoder blocks that ran for it, 1 to L.</summary>
    public int ExitLayer { get; }

    /// <summary>The confidences computed for it, shallow to deep.</summary>
    public IReadOnlyList<ConfidenceEvaluation> Evaluations { get; }

    /// <summary>Floating-point operations done for it.</summary>
    public OperationCounts Operations { get; }

    /// <summary>The values by their names, alike in every culture.</summary>
    /// <returns>One line of text.</returns>
    public override string ToString() => MemberText.Of(this);
}
