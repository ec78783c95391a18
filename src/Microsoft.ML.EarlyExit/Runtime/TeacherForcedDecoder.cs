using Microsoft.ML.EarlyExit.Memory;
using Microsoft.ML.EarlyExit.Model.Bundle;
using Microsoft.ML.OnnxRuntime;

namespace Microsoft.ML.EarlyExit.Runtime;

/// <summary>
/// All decoder layers over a whole target at once: the hidden states of every layer at every position, as decoding the same tokens at full depth has them. One
/// row at a time, so that nothing of a neighbour can reach it.
/// </summary>
/// <remarks>Holds (L + 1) · T · d floats for a target of T tokens; the graph needs heads · T² more while it runs.</remarks>
internal sealed class TeacherForcedDecoder : IDisposable
{
    private readonly InferenceSession _session;
    private readonly T5Configuration _configuration;
    private readonly RunOptions _run;

    // One per layer, so that a long target of a deep model is not one huge block.
    private readonly NativeBuffer?[] _hidden;
    private int _capacity;

    public TeacherForcedDecoder(ModelSessions sessions, T5Configuration configuration, RunOptions run)
    {
        _session = sessions.TeacherForcedDecoder;
        _configuration = configuration;
        _run = run;
        _hidden = new NativeBuffer?[configuration.DecoderLayerCount + 1];
    }

    /// <summary>Positions of the target that was decoded last.</summary>
    public int PositionCount { get; private set; }

    /// <summary>Decodes a target.</summary>
    /// <param name="input">The row's encoder output.</param>
    /// <param name="targetIds">The target, at least one id, without the start token; the decoder sees it shifted right, so that position t predicts id
    /// t.</param>
    public void Decode(EncodedInput input, ReadOnlySpan<int> targetIds)
    {
        int length = targetIds.Length;
        int width = _configuration.ModelDimension;
        PositionCount = 0;
        Reserve(length);
        using var ids = new BoundBuffer<long>(1, length);
        using var mask = new BoundBuffer<long>(1, input.Length);
        Span<long> shifted = ids.Values;
        shifted[0] = _configuration.DecoderStartTokenId;
        for (int position = 1; position < length; position++)
            shifted[position] = targetIds[position - 1];
        mask.Values.Fill(1);

        using OrtIoBinding binding = _session.CreateIoBinding();
        using OrtValue inputValue = input.AsBatch(width);
        binding.BindInput(GraphContract.DecoderInputIds, ids.View);
        binding.BindInput(GraphContract.EncoderOutput, inputValue);
        binding.BindInput(GraphContract.EncoderAttentionMask, mask.View);
        using IDisposable? positions = binding.BindPositions(_session, length);
        var outputs = new OrtValue[_hidden.Length];
        try
        {
            for (int layer = 0; layer < outputs.Length; layer++)
            {
                outputs[layer] = BoundTensor.Floats(_hidden[layer]!, 1, length, width);
                binding.BindOutput(GraphContract.HiddenStates(layer), outputs[layer]);
            }

            _session.RunSynchronized(_run, binding);
        }
        finally
        {
            foreach (OrtValue? output in outputs)
                output?.Dispose();
        }

        PositionCount = length;
    }

    /// <summary>The hidden states after a layer, 0 being the embedding: [positions, d].</summary>
    public ReadOnlySpan<float> Hidden(int layer) => _hidden[layer]!.Span<float>(0, PositionCount * _configuration.ModelDimension);

    /// <summary>The hidden state after a layer at a position: [d].</summary>
    public ReadOnlySpan<float> Hidden(int layer, int position) =>
        Hidden(layer).Slice(position * _configuration.ModelDimension, _configuration.ModelDimension);

    /// <summary>The same, to be kept until the next target is decoded.</summary>
    public ReadOnlyMemory<float> HiddenMemory(int layer, int position) =>
        _hidden[layer]!.Floats((long)position * _configuration.ModelDimension, _configuration.ModelDimension);

    public void Dispose()
    {
        foreach (NativeBuffer? buffer in _hidden)
            buffer?.Dispose();
    }

    private void Reserve(int length)
    {
        if (length <= _capacity)
            return;
        _capacity = 0;
        for (int layer = 0; layer < _hidden.Length; layer++)
        {
            _hidden[layer]?.Dispose();
            _hidden[layer] = new NativeBuffer((long)length * _configuration.ModelDimension * sizeof(float));
        }

        _capacity = length;
    }
}
