using Microsoft.ML.EarlyExit.Model;
using Microsoft.ML.EarlyExit.Runtime;
using Microsoft.ML.OnnxRuntime;

namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>
/// Walks over a traced generation and checks every confidence, alive count, amateur, exit and token against <see cref="DefinedToken"/>. The hidden states are
/// the model's own, from a decoder that runs one block at a time. The walk stops at the first decision too close to call.
/// </summary>
internal sealed class DefinedSequence(EarlyExitModel model)
{
    private const double Tolerance = 1e-4;

    private readonly DefinedHead _head = new(model);

    /// <summary>Tokens that were compared.</summary>
    public int Compared { get; private set; }

    /// <summary>Tokens that were not.</summary>
    public int Skipped { get; private set; }

    /// <summary>Tokens that left before the last layer.</summary>
    public int Exits { get; private set; }

    /// <summary>Exits that did not take place because the options forbade every alive token.</summary>
    public int Forbidden { get; private set; }

    /// <summary>Tokens compared before the first decision too close to call.</summary>
    /// <exception cref="Xunit.Sdk.XunitException">The generation deviates from the definition.</exception>
    public int Follow(GenerationInput input, DefinedPolicy policy, DefinedOptions options, GenerationResult result)
    {
        int layers = model.Configuration.DecoderLayerCount;
        using var run = new RunOptions();
        using EncodedInput encoded = EncodedInput.Encode(model.Sessions.Encoder, input.TokenIds!, model.Configuration.ModelDimension, run);
        DecoderSegment[] segments = [.. Enumerable.Range(1, layers).Select(layer => new DecoderSegment(layer, layer))];
        using var decoder = new DecoderBatch(
            model.Bundle, model.Sessions, 1, segments, StatePropagation.StateCopy, result.TokenIds.Count, new OperationCosts(model.Configuration), run);
        decoder.Admit(0, encoded);
        List<int> sequence = [model.Configuration.DecoderStartTokenId];
        for (int position = 0; position < result.TokenIds.Count; position++)
        {
            GenerationStep step = result.Steps![position];
            float[][] hidden = Run(decoder, sequence[^1], step.ExitLayer);
            int? previousExit = position == 0 ? null : result.Steps[position - 1].ExitLayer;
            if (!FollowToken(
                new DefinedToken(policy, layers, _head, layer => hidden[layer]), policy, policy.Asked(layers, previousExit), options, sequence, step))
            {
                Skipped += result.TokenIds.Count - position;
                return position;
            }

            decoder.Advance(0, 0, exitsEarly: step.ExitLayer < layers);
            Compared++;
            Exits += step.ExitLayer < layers ? 1 : 0;
            sequence.Add(step.TokenId);
        }

        Assert.NotEqual(StopReason.Error, result.StopReason);
        return result.TokenIds.Count;
    }

    private static float[][] Run(DecoderBatch decoder, int token, int layers)
    {
        var hidden = new float[layers + 1][];
        decoder.Embed([0], [token]);
        hidden[0] = decoder.Hidden(0).ToArray();
        for (int layer = 1; layer <= layers; layer++)
        {
            decoder.Run(layer - 1, [0]);
            hidden[layer] = decoder.Hidden(0).ToArray();
        }

        return hidden;
    }

    /// <summary>False where something was too close to call.</summary>
    private bool FollowToken(
        DefinedToken token, DefinedPolicy policy, IReadOnlyList<int> askedLayers, DefinedOptions options, List<int> sequence, GenerationStep step)
    {
        int layers = model.Configuration.DecoderLayerCount;
        int asked = 0;
        foreach (int layer in askedLayers)
        {
            if (!token.Evaluate(layer) || token.IsNearTie)
                return false;
            ConfidenceEvaluation evaluation = step.Evaluations[asked++];
            Assert.Equal(layer, evaluation.Layer);
            Assert.Equal(policy.Measure == DefinedMeasure.Saturation ? 0 : token.AliveCount(layer), evaluation.Rows);
            Assert.Equal(token.Amateur, evaluation.AmateurLayer);
            Assert.Equal(token.Confidence, evaluation.Confidence, Tolerance);
            bool isSure = token.IsSure(layer);
            int? choice = isSure ? token.Choose(layer, options, sequence) : null;
            if (token.IsNearTie)
                return false;
            if (choice is { } id)
            {
                Assert.Equal((id, layer), (step.TokenId, step.ExitLayer));
                Assert.Equal(asked, step.Evaluations.Count);
                return true;
            }

            Forbidden += isSure ? 1 : 0;
            Assert.True(step.ExitLayer > layer, $"The token left after layer {step.ExitLayer} with confidence {evaluation.Confidence}.");
        }

        Assert.Equal(layers, step.ExitLayer);
        Assert.Equal(asked, step.Evaluations.Count);
        int last = token.ChooseLast(options, sequence);
        if (token.IsNearTie)
            return false;
        Assert.Equal(last, step.TokenId);
        return true;
    }
}
