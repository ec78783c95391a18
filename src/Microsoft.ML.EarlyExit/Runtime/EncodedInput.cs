using Microsoft.ML.EarlyExit.Memory;
using Microsoft.ML.EarlyExit.Model.Bundle;
using Microsoft.ML.OnnxRuntime;

namespace Microsoft.ML.EarlyExit.Runtime;

/// <summary>The encoder's output for one row, computed alone: no padding, so nothing of its neighbours can reach it.</summary>
internal sealed class EncodedInput : IDisposable
{
    private readonly NativeBuffer _hidden;

    private EncodedInput(NativeBuffer hidden, OrtValue value, int length)
    {
        _hidden = hidden;
        Hidden = value;
        Length = length;
    }

    /// <summary>[length, d].</summary>
    public OrtValue Hidden { get; }

    /// <summary>Encoder positions.</summary>
    public int Length { get; }

    /// <summary>The same memory as [1, length, <paramref name="width"/>], for graphs that take a batch; the caller disposes the view, not the memory.</summary>
    public OrtValue AsBatch(int width) => BoundTensor.Floats(_hidden, 1, Length, width);

    public static EncodedInput Encode(InferenceSession encoder, IReadOnlyList<int> tokenIds, int width, RunOptions run)
    {
        int length = tokenIds.Count;
        using var ids = new BoundBuffer<long>(1, length);
        using var mask = new BoundBuffer<long>(1, length);
        mask.Values.Fill(1);
        Span<long> destination = ids.Values;
        for (int index = 0; index < length; index++)
            destination[index] = tokenIds[index];

        var hidden = new NativeBuffer((long)length * width * sizeof(float));
        try
        {
            using OrtValue output = BoundTensor.Floats(hidden, 1, length, width);
            using OrtIoBinding binding = encoder.CreateIoBinding();
            binding.BindInput(GraphContract.InputIds, ids.View);
            binding.BindInput(GraphContract.AttentionMask, mask.View);
            binding.BindOutput(GraphContract.EncoderOutput, output);
            using IDisposable? positions = binding.BindPositions(encoder, length);
            encoder.RunSynchronized(run, binding);
            return new EncodedInput(hidden, BoundTensor.Floats(hidden, length, width), length);
        }
        catch
        {
            hidden.Dispose();
            throw;
        }
    }

    public void Dispose()
    {
        Hidden.Dispose();
        _hidden.Dispose();
    }
}
