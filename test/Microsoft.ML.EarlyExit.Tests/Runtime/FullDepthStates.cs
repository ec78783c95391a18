using System.Collections.Concurrent;
using System.Runtime.CompilerServices;
using Microsoft.ML.EarlyExit.Model.Bundle;
using Microsoft.ML.EarlyExit.Runtime;
using Microsoft.ML.OnnxRuntime;

namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>
/// What the full model computes for given tokens, from the bundle's teacher-forced graph: standard operators, no caches. Beside it, what a batch of the library
/// holds in its caches.
/// </summary>
internal static class FullDepthStates
{
    private static readonly ConcurrentDictionary<string, Lazy<InferenceSession>> s_sessions = new();

    /// <summary>For every layer, the embedding first: [positions, d].</summary>
    public static float[][] States(string name, IReadOnlyList<int> inputIds, IReadOnlyList<int> tokens)
    {
        EarlyExitModel model = TestModels.Model(name);
        InferenceSession session = s_sessions.GetOrAdd(
            name, key => new Lazy<InferenceSession>(() => new InferenceSession(Path.Combine(TestModels.Bundle(key), "decoder-teacher-forced.onnx")))).Value;
        using var run = new RunOptions();
        using EncodedInput input = EncodedInput.Encode(model.Sessions.Encoder, inputIds, model.Configuration.ModelDimension, run);
        using OrtValue ids = OrtValue.CreateTensorValueFromMemory<long>([.. tokens.Select(token => (long)token)], [1, tokens.Count]);
        using OrtValue mask = OrtValue.CreateTensorValueFromMemory<long>([.. inputIds.Select(_ => 1L)], [1, inputIds.Count]);
        float[] encoded = input.Hidden.GetTensorDataAsSpan<float>().ToArray();
        using OrtValue hidden = OrtValue.CreateTensorValueFromMemory(encoded, [1, inputIds.Count, model.Configuration.ModelDimension]);
        string[] names = [.. Enumerable.Range(0, model.Configuration.DecoderLayerCount + 1).Select(GraphContract.HiddenStates)];
        using IDisposableReadOnlyCollection<OrtValue> outputs = session.Run(
            run, [GraphContract.DecoderInputIds, GraphContract.EncoderOutput, GraphContract.EncoderAttentionMask], [ids, hidden, mask], names);
        return [.. outputs.Select(output => output.GetTensorDataAsSpan<float>().ToArray())];
    }

    /// <summary>A layer's self-attention keys and values of hidden states [positions, d]: per position [keys | values], each [heads, head].</summary>
    public static float[] KeysValues(EarlyExitModel model, int layer, ReadOnlySpan<float> states)
    {
        int positions = states.Length / model.Configuration.ModelDimension;
        using var run = new RunOptions();
        using OrtValue hidden = OrtValue.CreateTensorValueFromMemory(states.ToArray(), [positions, model.Configuration.ModelDimension]);
        using IDisposableReadOnlyCollection<OrtValue> outputs =
            model.Sessions.StateKeysValues(layer).Run(run, [GraphContract.Hidden], [hidden], [GraphContract.KeysValues]);
        return outputs[0].GetTensorDataAsSpan<float>().ToArray();
    }

    /// <summary>What a batch's cache holds of a slot's position, laid out as <see cref="KeysValues"/> does.</summary>
    public static float[] Cached(EarlyExitModel model, DecoderBatch batch, int layer, int slot, int position)
    {
        KeyValueCache cache = Memory(batch).Self.Cache(layer);
        int heads = model.Configuration.HeadCount;
        int width = model.Bundle.Manifest.GraphHeadDimension;
        var result = new float[2 * heads * width];
        foreach ((OrtValue part, int at) in new[] { (cache.Keys, 0), (cache.Values, heads) })
        {
            for (int head = 0; head < heads; head++)
            {
                part.GetTensorDataAsSpan<float>()
                    .Slice(((((slot * heads) + head) * cache.Capacity) + position + 1) * width, width)
                    .CopyTo(result.AsSpan((at + head) * width));
            }
        }

        return result;
    }

    [UnsafeAccessor(UnsafeAccessorKind.Field, Name = "_memory")]
    public static extern ref DecoderMemory Memory(DecoderBatch batch);
}
