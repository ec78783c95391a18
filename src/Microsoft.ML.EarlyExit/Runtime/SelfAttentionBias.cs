using Microsoft.ML.EarlyExit.Memory;
using Microsoft.ML.EarlyExit.Model.Bundle;
using Microsoft.ML.EarlyExit.Model.Weights;
using Microsoft.ML.OnnxRuntime;

namespace Microsoft.ML.EarlyExit.Runtime;

/// <summary>
/// The relative position bias of the decoder's self-attention: by distance, and for a device also as [slots, heads, 1, capacity + 1], for each slot at its own
/// position.
/// </summary>
internal sealed class SelfAttentionBias : IDisposable
{
    private readonly int _heads;
    private readonly int _capacity;

    // By head, the farthest distance first: the bias of a row of keys is then one slice.
    private readonly NativeBuffer _reversed;
    private readonly BoundBuffer<float>? _bias;
    private readonly DeviceCopy? _copy;

    public SelfAttentionBias(ModelBundle bundle, int slots, int capacity, DeviceMemory? device)
    {
        WeightTensor tensor = bundle.Tensor(bundle.Manifest.TensorNames.DecoderRelativeBias);
        ReadOnlySpan<float> byDistance = tensor.Floats;
        _heads = bundle.Configuration.HeadCount;
        _capacity = capacity;
        _reversed = new NativeBuffer((long)_heads * capacity * sizeof(float));
        Span<float> reversed = _reversed.Span<float>(0, _heads * capacity);
        for (int head = 0; head < _heads; head++)
        {
            for (int distance = 0; distance < capacity; distance++)
                reversed[((head + 1) * capacity) - 1 - distance] = byDistance[(Math.Min(distance, tensor.Rows - 1) * _heads) + head];
        }

        if (device is null)
            return;
        _bias = new BoundBuffer<float>(slots, _heads, 1, capacity + 1);
        _copy = new DeviceCopy(device, _bias.View);
    }

    /// <summary>In the device's memory, every slot's bias, as it is when this is read.</summary>
    public OrtValue OnDevice => _copy!.Value;

    /// <summary>By head, the bias of every distance up to the capacity, the farthest first.</summary>
    public nint ReversedAddress => _reversed.Address;

    /// <summary>Entries of a slot, the scratch included.</summary>
    public int Entries => _capacity + 1;

    /// <summary>Sets a slot's bias for the token at <paramref name="position"/> where there is a device.</summary>
    public void Set(int slot, int position)
    {
        if (_bias is null)
            return;
        _copy!.Invalidate();
        for (int head = 0; head < _heads; head++)
            CopyTo(head, position, _bias.Span((((long)slot * _heads) + head) * Entries, Entries));
    }

    /// <summary>
    /// Copies a head's bias for the token at <paramref name="position"/> over the keys up to its own; entry 0, the scratch, and entries after its
    /// own key are masked.
    /// </summary>
    public void CopyTo(int head, int position, Span<float> bias)
    {
        int keys = position + 1;
        bias[0] = GraphContract.Masked;
        _reversed.Span<float>(((head + 1L) * _capacity) - keys, keys).CopyTo(bias[1..]);
        bias[(keys + 1)..].Fill(GraphContract.Masked);
    }

    public void Dispose()
    {
        _copy?.Dispose();
        _bias?.Dispose();
        _reversed.Dispose();
    }
}
