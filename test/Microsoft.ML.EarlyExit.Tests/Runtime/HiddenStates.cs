using Microsoft.ML.EarlyExit.Model;
using Microsoft.ML.EarlyExit.Runtime;
using Microsoft.ML.OnnxRuntime;

namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>Hidden states as the decoding loop computes them: block by block, token by token.</summary>
internal static class HiddenStates
{
    /// <summary>For every layer, the embedding first: [target, d] at full depth, position t having seen the target's first t ids.</summary>
    public static float[][] OneByOne(EarlyExitModel model, IReadOnlyList<int> inputIds, IReadOnlyList<int> target)
    {
        T5Configuration configuration = model.Configuration;
        int layers = configuration.DecoderLayerCount;
        using var run = new RunOptions();
        using EncodedInput input = EncodedInput.Encode(model.Sessions.Encoder, inputIds, configuration.ModelDimension, run);
        DecoderSegment[] segments = [.. Enumerable.Range(1, layers).Select(layer => new DecoderSegment(layer, layer))];
        using var batch = new DecoderBatch(
            model.Bundle, model.Sessions, 1, segments, StatePropagation.StateCopy, target.Count, new OperationCosts(configuration), run);
        batch.Admit(0, input);
        List<float>[] states = [.. Enumerable.Range(0, layers + 1).Select(_ => new List<float>())];
        for (int position = 0; position < target.Count; position++)
        {
            batch.Embed([0], [position == 0 ? configuration.DecoderStartTokenId : target[position - 1]]);
            states[0].AddRange(batch.Hidden(0));
            for (int layer = 1; layer <= layers; layer++)
            {
                batch.Run(layer - 1, [0]);
                states[layer].AddRange(batch.Hidden(0));
            }

            batch.Advance(0, 0, exitsEarly: false);
        }

        return [.. states.Select(state => state.ToArray())];
    }
}
