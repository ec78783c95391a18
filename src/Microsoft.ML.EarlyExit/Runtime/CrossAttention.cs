using Microsoft.ML.EarlyExit.Model.Bundle;
using Microsoft.ML.OnnxRuntime;

namespace Microsoft.ML.EarlyExit.Runtime;

/// <summary>
/// The cross-attention of all slots: each slot's encoder output, its keys and values of every layer, computed when its row first reaches the layer, and the
/// mask of what is no encoder position.
/// </summary>
internal sealed class CrossAttention : IDisposable
{
    private const int FirstEntries = 64;

    private readonly ModelBundle _bundle;
    private readonly ModelSessions _sessions;
    private readonly RunOptions _run;
    private readonly EncodedInput?[] _inputs;
    private readonly KeyValueCache?[] _caches;

    // The last layer whose keys and values a slot has.
    private readonly int[] _reached;
    private readonly DeviceMemory? _device;
    private readonly OnnxThreadPool.Lane? _lane;
    private BoundBuffer<float>? _bias;
    private DeviceCopy? _biasCopy;

    /// <param name="bundle">The model.</param>
    /// <param name="sessions">Its sessions.</param>
    /// <param name="slots">Slots.</param>
    /// <param name="device">The memory of the device that runs; null for the host's.</param>
    /// <param name="run">Options of every run.</param>
    public CrossAttention(ModelBundle bundle, ModelSessions sessions, int slots, DeviceMemory? device, RunOptions run)
    {
        _bundle = bundle;
        _sessions = sessions;
        _run = run;
        _device = device;
        _inputs = new EncodedInput?[slots];
        _caches = new KeyValueCache?[bundle.Configuration.DecoderLayerCount];
        _reached = new int[slots];
        _lane = device is null ? sessions.ThreadPool.CreateLane() : null;
        SetEntries(FirstEntries);
    }

    /// <summary>Entries of a slot.</summary>
    public int Entries { get; private set; }

    /// <summary>In the device's memory, the mask of what is no encoder position, as it is when this is read.</summary>
    public OrtValue BiasOnDevice => (_biasCopy ??= new DeviceCopy(_device!, _bias!.View)).Value;

    private int KeysValuesWidth => 2 * _bundle.Configuration.HeadCount * _bundle.Manifest.GraphHeadDimension;

    /// <summary>Encoder positions of a slot's row.</summary>
    public int EncoderLength(int slot) => _inputs[slot]!.Length;

    /// <summary>The caches of a layer, from 1, that was reached.</summary>
    public KeyValueCache Cache(int layer) => _caches[layer - 1]!;

    /// <summary>Whether a row fits without more room.</summary>
    public bool HasRoom(EncodedInput input) => Needed(input) <= Entries;

    /// <summary>Makes room for a row; what was bound to the caches and the bias must be bound anew.</summary>
    public void Grow(EncodedInput input)
    {
        int[] kept = [.. _inputs.Select(one => Math.Min((one?.Length ?? 0) + 1, Entries))];
        int entries = Math.Max(Needed(input), 2 * Entries);
        // In steps, so that memory of an earlier batch is likelier to fit; a device attends over all of it.
        if (_device is null)
            entries = (entries + FirstEntries - 1) / FirstEntries * FirstEntries;
        foreach (KeyValueCache? cache in _caches)
            cache?.Grow(entries, kept);
        DisposeBias();
        SetEntries(entries);
        for (int slot = 0; slot < _inputs.Length; slot++)
            SetBias(slot);
    }

    /// <summary>Puts another row's encoder output into a slot. There must be room.</summary>
    public void Admit(int slot, EncodedInput input)
    {
        _inputs[slot] = input;
        _reached[slot] = 0;
        SetBias(slot);
    }

    /// <summary>Gives a slot the row of another: what was computed is copied, the rest computed when reached.</summary>
    public void Fork(int from, int to)
    {
        Admit(to, _inputs[from]!);
        _reached[to] = _reached[from];
        for (int layer = 1; layer <= _reached[from]; layer++)
            _caches[layer - 1]!.CopySlot(from, to, EncoderLength(from) + 1);
    }

    /// <summary>Computes a layer's keys and values for a slot that reaches it for the first time; false where it has them.</summary>
    public bool Reach(int layer, int slot)
    {
        KeyValueCache cache = _caches[layer - 1] ??= new KeyValueCache(
            _inputs.Length, _bundle.Configuration.HeadCount, _bundle.Manifest.GraphHeadDimension, Entries, _device, _sessions.CachePages);
        if (_reached[slot] >= layer)
            return false;
        _reached[slot] = layer;
        EncodedInput input = _inputs[slot]!;
        if (_device is not null)
        {
            StoreOnDevice(layer, slot, input, cache);
            return true;
        }

        InferenceSession session = _sessions.CrossKeysValues(layer);
        using var output = new BoundBuffer<float>(input.Length, KeysValuesWidth);
        using OrtIoBinding binding = session.CreateIoBinding();
        binding.BindInput(GraphContract.Hidden, input.Hidden);
        binding.BindOutput(GraphContract.KeysValues, output.View);
        session.RunWithBinding(_run, binding);
        cache.Store(_lane!, slot, output.Span(0, input.Length * KeysValuesWidth));
        return true;
    }

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
        _lane?.Dispose();
        DisposeBias();
    }

    private void StoreOnDevice(int layer, int slot, EncodedInput input, KeyValueCache cache)
    {
        using var entries = new CacheEntries(input.Length, _bundle.Configuration.HeadCount);
        for (int position = 0; position < input.Length; position++)
            entries.Set(position, slot, position + 1);
        _sessions.CrossKeysValues(layer, onDevice: true).StoreKeysValues(_run, input.Hidden, entries.First(input.Length), cache);
    }

    private void DisposeBias()
    {
        _biasCopy?.Dispose();
        _biasCopy = null;
        _bias?.Dispose();
    }

    // One entry of scratch before a slot's encoder positions.
    private static int Needed(EncodedInput input) => 1 + input.Length;

    private void SetEntries(int entries)
    {
        Entries = entries;
        // Only a device's sessions attend over whole caches.
        _bias = _device is null ? null : new BoundBuffer<float>(_inputs.Length, 1, 1, entries);
    }

    private void SetBias(int slot)
    {
        if (_bias is null || _inputs[slot] is not { } input)
            return;
        _biasCopy?.Invalidate();
        Span<float> bias = _bias.Span((long)slot * Entries, Entries);
        bias.Clear();
        bias[0] = GraphContract.Masked;
        bias[(input.Length + 1)..].Fill(GraphContract.Masked);
    }
}
