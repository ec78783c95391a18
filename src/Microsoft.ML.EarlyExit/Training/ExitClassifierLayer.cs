using Microsoft.ML.EarlyExit.Evaluation.Text;

namespace Microsoft.ML.EarlyExit;

/// <summary>What an exit classifier was trained on at one layer, and how well it does there on rows that were held out.</summary>
/// <remarks>An example is one token at this layer; it agrees where the layer's likeliest token is the last layer's.</remarks>
public sealed class ExitClassifierLayer
{
    internal ExitClassifierLayer()
    {
    }

    /// <summary>The layer, 1 to L - 1.</summary>
    public int Layer { get; internal init; }

    /// <summary>Examples that were trained on.</summary>
    public int TrainingExampleCount { get; internal init; }

    /// <summary>The share of the training examples that agree, in [0, 1]; NaN where there are none.</summary>
    public double TrainingAgreement { get; internal init; }

    /// <summary>Examples that were held out.</summary>
    public int HeldOutExampleCount { get; internal init; }

    /// <summary>The share of the held-out examples that agree, in [0, 1]; NaN where there are none.</summary>
    public double HeldOutAgreement { get; internal init; }

    /// <summary>The share of the held-out examples for which the classifier is right, its confidence compared with 0.5; NaN where there are none.</summary>
    public double HeldOutAccuracy { get; internal init; }

    /// <summary>
    /// The area under the ROC curve on the held-out examples: how often one that agrees has a higher confidence than one that does not; 0.5 is chance. NaN
    /// where not both kinds are held out.
    /// </summary>
    public double HeldOutAreaUnderRocCurve { get; internal init; }

    /// <summary>Why accuracy and area say nothing of the layer, in a sentence or two, with how many rows would: examples that do not agree, or that do, are not
    /// held out. Null where both are, or nothing is held out.</summary>
    public string? HeldOutProblem { get; internal init; }

    /// <summary>The values by their names, alike in every culture.</summary>
    /// <returns>One line of text.</returns>
    public override string ToString() => MemberText.Of(this);
}
