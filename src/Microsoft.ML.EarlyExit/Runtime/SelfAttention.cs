using Microsoft.ML.EarlyExit.Memory;
using Microsoft.ML.EarlyExit.Model.Bundle;

namespace Microsoft.ML.EarlyExit.Runtime;

/// <summary>The self-attention of all slots: every layer's caches, made when a token first reaches the layer, and the relative position bias.</summary>
internal sealed class SelfAttention : IDisposable
{
    private const int FirstCapacity = 64;

    private readonly ModelBundle _bundle;
    private readonly int _slots;
    private readonly int _maxPositions;
    private readonly DeviceMemory? _device;
    private readonly PagePool _pages;
    private readonly KeyValueCache?[] _caches;

    public SelfAttention(ModelBundle bundle, int slots, int maxPositions, DeviceMemory? device, PagePool pages)
    {
        _pages = pages;
        _bundle = bundle;
        _device = device;
        _slots = slots;
        _maxPositions = maxPositions;
        _caches = new KeyValueCache?[bundle.Configuration.DecoderLayerCount];
        Bias = CreateBias(Math.Min(maxPositions, FirstCapacity));
    }

    /// <summary>Positions that there is room for in every slot.</summary>
    public int Capacity => Bias.Entries - 1;

    public int LayerCount => _caches.Length;

    public SelfAttentionBias Bias { get; private set; }

    /// <summary>The caches of a layer, from 1, that was reached.</summary>
    public KeyValueCache Cache(int layer) => _caches[layer - 1]!;

    /// <summary>Makes a layer's caches where there are none yet.</summary>
    public void Reach(int layer) =>
        _caches[layer - 1] ??= new KeyValueCache(_slots, _bundle.Configuration.HeadCount, _bundle.Manifest.GraphHeadDimension, Capacity + 1, _device, _pages);

    /// <summary>Makes room for more positions; what was bound to the caches and the bias must be bound anew.</summary>
    /// <param name="positions">The position that each slot is at.</param>
    public void Grow(ReadOnlySpan<int> positions)
    {
        var kept = new int[_slots];
        for (int slot = 0; slot < _slots; slot++)
            kept[slot] = Math.Min(positions[slot], Capacity) + 1;
        SelfAttentionBias old = Bias;
        Bias = CreateBias(Math.Min(_maxPositions, 2 * Capacity));
        old.Dispose();
        foreach (KeyValueCache? cache in _caches)
            cache?.Grow(Capacity + 1, kept);
        // Slots already embedded in this step wrote to the old bias; write theirs again.
        for (int slot = 0; slot < _slots; slot++)
            Bias.Set(slot, Math.Min(positions[slot], Capacity - 1));
    }

    /// <summary>Copies a slot's keys and values of a layer, if it was reached, before a position into another slot.</summary>
    public void Fork(int layer, int from, int to, int end) => _caches[layer - 1]?.CopySlot(from, to, end + 1);

    /// <inheritdoc cref="KeyValueCache.ClearNoNumbers()"/>
    public void ClearNoNumbers()
    {
        foreach (KeyValueCache? cache in _caches)
            cache?.ClearNoNumbers();
    }

    public void Dispose()
    {
        foreach (KeyValueCache? cache in _caches)
            cache?.Dispose();
        Bias.Dispose();
    }

    private SelfAttentionBias CreateBias(int capacity) => new(_bundle, _slots, capacity, _device);
}
