using Microsoft.ML.EarlyExit.Evaluation.Text;

namespace Microsoft.ML.EarlyExit;

/// <summary>How far texts agree with those of the full model: means over rows, in [0, 1].</summary>
public readonly record struct TextAgreement
{
    internal TextAgreement(double exact, double rougeL, double f1)
    {
        Exact = exact;
        RougeL = rougeL;
        F1 = f1;
    }

    /// <summary>The share of rows whose texts are equal, character by character.</summary>
    public double Exact { get; }

    /// <summary>ROUGE-L's F-measure, the full model's text being the reference.</summary>
    public double RougeL { get; }

    /// <summary>SQuAD's F1, the full model's text being the answer.</summary>
    public double F1 { get; }

    /// <summary>The values by their names, alike in every culture.</summary>
    /// <returns>One line of text.</returns>
    public override string ToString() => MemberText.Of(this);
}
