using Microsoft.ML.EarlyExit.Model;
using Microsoft.ML.EarlyExit.Runtime;
using Microsoft.ML.OnnxRuntime;

namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>
/// Greedy decoding over a <see cref="DecoderBatch"/> as plainly as can be said: after every segment but the last a token whose softmax margin is above the
/// threshold leaves. A row that has ended leaves its slot to the next.
/// </summary>
internal static class PlainDecodingLoop
{
    private const float NearTie = 1e-4f;

    /// <summary>One token: the layer it left after, the confidences asked for it, and whether any decision about it was too close to call.</summary>
    public readonly record struct Token(int Id, int ExitLayer, IReadOnlyList<float> Confidences, bool IsNearTie);

    /// <summary>Generates for all rows; <paramref name="left"/> is told of every token that leaves early: batch, slot, position, layer, hidden state.</summary>
    public static IReadOnlyList<IReadOnlyList<Token>> Generate(
        EarlyExitModel model, IReadOnlyList<int[]> inputs, IReadOnlyList<DecoderSegment> segments, StatePropagation propagation,
        float threshold, int maxNewTokens, int slots, Action<DecoderBatch, int, int, int, float[]>? left = null)
    {
        T5Configuration configuration = model.Configuration;
        List<Token>[] results = [.. inputs.Select(_ => new List<Token>())];
        using var run = new RunOptions();
        using OnnxThreadPool.Lane lane = model.Sessions.ThreadPool.CreateLane();
        using var batch = new DecoderBatch(model.Bundle, model.Sessions, slots, segments, propagation, maxNewTokens, new OperationCosts(configuration), run);
        var encoded = new EncodedInput?[slots];
        var rows = new int?[slots];
        int begun = 0;
        while (true)
        {
            for (int slot = 0; slot < slots; slot++)
            {
                if (rows[slot] is not null || begun == inputs.Count)
                    continue;
                rows[slot] = begun;
                encoded[slot]?.Dispose();
                encoded[slot] = EncodedInput.Encode(model.Sessions.Encoder, inputs[begun++], configuration.ModelDimension, run);
                batch.Admit(slot, encoded[slot]!);
            }

            List<int> running = [.. Enumerable.Range(0, slots).Where(slot => rows[slot] is not null)];
            if (running.Count == 0)
                break;
            batch.Embed(
                running.ToArray(),
                [.. running.Select(slot => results[rows[slot]!.Value] is { Count: > 0 } tokens ? tokens[^1].Id : configuration.DecoderStartTokenId)]);
            List<float>[] confidences = [.. rows.Select(_ => new List<float>())];
            for (int segment = 0; segment < segments.Count && running.Count > 0; segment++)
            {
                batch.Run(segment, running.ToArray());
                bool isLast = segment == segments.Count - 1;
                var staying = new List<int>();
                for (int index = 0; index < running.Count; index++)
                {
                    int slot = running[index];
                    float[] hidden = batch.Hidden(index).ToArray();
                    (int id, float gap, float margin) = Choose(model, lane, hidden);
                    if (!isLast)
                        confidences[slot].Add(margin);
                    if (!isLast && !(margin > threshold))
                    {
                        hidden.CopyTo(batch.Hidden(staying.Count));
                        staying.Add(slot);
                        continue;
                    }

                    List<Token> tokens = results[rows[slot]!.Value];
                    int layer = segments[segment].LastLayer;
                    if (!isLast)
                        left?.Invoke(batch, slot, tokens.Count, layer, hidden);
                    batch.Advance(slot, index, exitsEarly: !isLast);
                    tokens.Add(new Token(
                        id, layer, confidences[slot], gap < NearTie || confidences[slot].Any(confidence => Math.Abs(confidence - threshold) < NearTie)));
                    if (id == configuration.EndOfSequenceTokenId || tokens.Count == maxNewTokens)
                        rows[slot] = null;
                }

                running = staying;
            }
        }

        foreach (EncodedInput? input in encoded)
            input?.Dispose();
        return results;
    }

    /// <summary>The likeliest token, its logit's lead, and the lead of its probability.</summary>
    private static (int Id, float Gap, float Margin) Choose(EarlyExitModel model, OnnxThreadPool.Lane lane, float[] hidden)
    {
        var normed = new float[hidden.Length];
        var logits = new float[model.Head.VocabularySize];
        model.Head.Normalize(hidden, normed);
        model.Head.Multiply(lane, normed, 1, logits);
        int best = Array.IndexOf(logits, logits.Max());
        float second = logits.Where((_, id) => id != best).Max();
        double sum = logits.Sum(logit => Math.Exp(logit - logits[best]));
        return (best, logits[best] - second, (float)((1 - Math.Exp(second - logits[best])) / sum));
    }
}
