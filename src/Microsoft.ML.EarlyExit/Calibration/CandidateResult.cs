using System.Globalization;

namespace Microsoft.ML.EarlyExit.Calibration;

/// <summary>What one candidate did on all prompts.</summary>
/// <param name="Losses">Each prompt's loss, in [0, 1], in the prompts' order.</param>
/// <param name="MeanExitLayer">The mean exit layer of all tokens; NaN without tokens.</param>
/// <param name="Operations">Floating-point operations, a prompt on average.</param>
internal sealed record CandidateResult(double[] Losses, double MeanExitLayer, MeanOperationCounts Operations)
{
    /// <summary>Computes a candidate's losses, and what it did on average.</summary>
    /// <param name="loss">The loss.</param>
    /// <param name="prompts">The prompts.</param>
    /// <param name="fullTexts">The full model's texts of the prompts.</param>
    /// <param name="outputs">What the candidate generated for them.</param>
    /// <exception cref="InvalidOperationException">A loss is not in [0, 1]; the message names its row.</exception>
    public static CandidateResult Measure(CalibrationLoss loss, CalibrationPrompt[] prompts, string[] fullTexts, CandidateOutput[] outputs)
    {
        double[] losses = new double[outputs.Length];
        long layers = 0;
        long tokens = 0;
        double decoder = 0, propagation = 0, confidence = 0, head = 0, paper = 0;
        for (int row = 0; row < outputs.Length; row++)
        {
            ref readonly CandidateOutput output = ref outputs[row];
            losses[row] = loss.Compute(new CalibrationOutcome(output.Text, fullTexts[row], prompts[row].References));
            if (!(losses[row] is >= 0 and <= 1))
            {
                throw new InvalidOperationException(string.Create(
                    CultureInfo.InvariantCulture,
                    $"The loss {loss.Name} of row {prompts[row].Row}, counted from 0, is {losses[row]}; it must be from 0 to 1."));
            }

            layers += output.Layers;
            tokens += output.Tokens;
            decoder += output.Operations.Decoder;
            propagation += output.Operations.StatePropagation;
            confidence += output.Operations.Confidence;
            head += output.Operations.Head;
            paper += output.Operations.Paper;
        }

        double count = outputs.Length;
        return new CandidateResult(
            losses, (double)layers / tokens, new MeanOperationCounts(decoder / count, propagation / count, confidence / count, head / count, paper / count));
    }
}
