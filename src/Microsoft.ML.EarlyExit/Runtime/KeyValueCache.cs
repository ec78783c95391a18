using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Microsoft.ML.EarlyExit.Memory;
using Microsoft.ML.EarlyExit.Model.Bundle;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.EarlyExit.Runtime;

/// <summary>
/// Keys and values of one attention of one decoder layer for all slots of a batch: [slots, heads, capacity, head]. Entry 0 of a slot is scratch, where a
/// device's sessions store what belongs nowhere; position p lies at entry p + 1. Room that no call has written takes no memory where the system gives it by the
/// page. Where it lies in a device's memory, what is rare, growing and copying a row, goes through the host's.
/// </summary>
internal sealed class KeyValueCache : IDisposable
{
    // Below so many numbers waking threads costs more than the copies.
    private const int LeastForThreads = 1 << 16;

    private readonly int _slots;
    private readonly int _heads;
    private readonly int _headWidth;
    private readonly DeviceMemory? _device;
    private readonly PagePool? _pages;
    private readonly OrtValue?[] _slotKeys;
    private readonly OrtValue?[] _slotValues;
    private NativeBuffer _keys;
    private NativeBuffer _values;
    private DeviceTensor? _deviceKeys;
    private DeviceTensor? _deviceValues;

    /// <param name="slots">Slots.</param>
    /// <param name="heads">Heads.</param>
    /// <param name="headWidth">The width of a head.</param>
    /// <param name="capacity">Entries of a slot.</param>
    /// <param name="device">The memory of the device that runs; null for the host's.</param>
    /// <param name="pages">Where the host's memory may come from.</param>
    public KeyValueCache(int slots, int heads, int headWidth, int capacity, DeviceMemory? device = null, PagePool? pages = null)
    {
        _device = device;
        // A device's sessions read what was never written too.
        _pages = device is null ? pages : null;
        _slots = slots;
        _heads = heads;
        _headWidth = headWidth;
        _slotKeys = new OrtValue?[slots];
        _slotValues = new OrtValue?[slots];
        Capacity = capacity;
        _keys = Allocate(capacity);
        _values = Allocate(capacity);
        (Keys, Values) = MakeViews();
    }

    /// <summary>Entries of a slot.</summary>
    public int Capacity { get; private set; }

    public OrtValue Keys { get; private set; }

    public OrtValue Values { get; private set; }

    public nint KeysAddress => _keys.Address;

    public nint ValuesAddress => _values.Address;

    /// <summary>The keys of one slot in a device's memory, as a cache of that slot alone.</summary>
    public OrtValue SlotKeys(int slot) => _slotKeys[slot] ??= SlotView(_deviceKeys!, slot);

    /// <summary>The values of one slot, likewise.</summary>
    public OrtValue SlotValues(int slot) => _slotValues[slot] ??= SlotView(_deviceValues!, slot);

    /// <summary>
    /// Makes room for more entries and keeps the first ones, the scratch entry among them, as many as each slot has; what was bound to the old memory must be
    /// bound anew.
    /// </summary>
    public void Grow(int capacity, ReadOnlySpan<int> kept)
    {
        Transfer(toDevice: false);
        NativeBuffer keys = Grown(_keys, capacity, kept);
        NativeBuffer values = Grown(_values, capacity, kept);
        Dispose();
        Capacity = capacity;
        (_keys, _values) = (keys, values);
        (Keys, Values) = MakeViews();
    }

    /// <summary>Stores keys and values of one position, as the graphs give them: [keys | values], each [heads, head]. In the host's memory only.</summary>
    public void Store(int slot, int position, ReadOnlySpan<float> keysValues) => Store(lane: null, slot, position, keysValues);

    /// <summary>Stores a slot's first positions, [positions, keys | values], likewise. The heads of many are shared among a lane's threads.</summary>
    public void Store(OnnxThreadPool.Lane lane, int slot, ReadOnlySpan<float> keysValues) =>
        Store(keysValues.Length >= LeastForThreads ? lane : null, slot, 0, keysValues);

    /// <summary>Clears all that is no number on a device, whose sessions multiply entries that count for nothing by 0; the host's do not read those.</summary>
    public void ClearNoNumbers()
    {
        if (_device is null)
            return;
        Transfer(toDevice: false);
        ClearNoNumbers(_keys);
        ClearNoNumbers(_values);
        Transfer(toDevice: true);
    }

    /// <summary>Copies the first entries of a slot, the scratch entry among them, into another.</summary>
    public void CopySlot(int from, int to, int entries)
    {
        Transfer(toDevice: false);
        for (int head = 0; head < _heads; head++)
        {
            long source = (((long)from * _heads) + head) * Capacity * _headWidth;
            long target = (((long)to * _heads) + head) * Capacity * _headWidth;
            _keys.Span<float>(source, entries * _headWidth).CopyTo(_keys.Span<float>(target, entries * _headWidth));
            _values.Span<float>(source, entries * _headWidth).CopyTo(_values.Span<float>(target, entries * _headWidth));
        }

        Transfer(toDevice: true);
    }

    public void Dispose()
    {
        foreach (OrtValue?[] views in new[] { _slotKeys, _slotValues })
        {
            foreach (OrtValue? view in views)
                view?.Dispose();
            Array.Clear(views);
        }

        Keys.Dispose();
        Values.Dispose();
        _deviceKeys?.Dispose();
        _deviceValues?.Dispose();
        _keys.Dispose();
        _values.Dispose();
    }

    // Most slots may never have a row as long as the longest.
    private NativeBuffer Allocate(int capacity) => NativeBuffer.Sparse((long)_slots * _heads * capacity * _headWidth * sizeof(float), _pages);

    private (OrtValue Keys, OrtValue Values) MakeViews()
    {
        if (_device is null)
            return (View(_keys), View(_values));
        try
        {
            _deviceKeys = _device.Allocate(TensorElementType.Float, _slots, _heads, Capacity, _headWidth);
            _deviceValues = _device.Allocate(TensorElementType.Float, _slots, _heads, Capacity, _headWidth);
            Transfer(toDevice: true);
        }
        catch
        {
            _deviceKeys?.Dispose();
            _deviceValues?.Dispose();
            throw;
        }

        return (_deviceKeys.Value, _deviceValues.Value);
    }

    private OrtValue View(NativeBuffer buffer) => BoundTensor.Floats(buffer, _slots, _heads, Capacity, _headWidth);

    private OrtValue SlotView(DeviceTensor cache, int slot) =>
        cache.View((long)slot * _heads * Capacity * _headWidth, 1, _heads, Capacity, _headWidth);

    /// <summary>Copies all between the host's memory and that of the device, where there is one.</summary>
    private void Transfer(bool toDevice)
    {
        if (_device is null)
            return;
        using OrtValue keys = View(_keys);
        using OrtValue values = View(_values);
        foreach ((OrtValue host, OrtValue device) in ((OrtValue, OrtValue)[])[(keys, _deviceKeys!.Value), (values, _deviceValues!.Value)])
            _device.Copy(toDevice ? host : device, toDevice ? device : host);
    }

    private void ClearNoNumbers(NativeBuffer buffer)
    {
        for (long block = 0; block < (long)_slots * _heads; block++)
        {
            foreach (ref float value in buffer.Span<float>(block * Capacity * _headWidth, Capacity * _headWidth))
            {
                if (!float.IsFinite(value))
                    value = 0;
            }
        }
    }

    private unsafe void Store(OnnxThreadPool.Lane? lane, int slot, int position, ReadOnlySpan<float> keysValues)
    {
        int width = 2 * _heads * _headWidth;
        ArgumentOutOfRangeException.ThrowIfNegative(slot);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(slot, _slots);
        ArgumentOutOfRangeException.ThrowIfNegative(position);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(position + (keysValues.Length / width), Capacity);
        long first = (((long)slot * _heads * Capacity) + position + 1) * _headWidth;
        fixed (float* source = keysValues)
        {
            var job = new StoreJob
            {
                Source = source,
                Keys = (float*)_keys.Address + first,
                Values = (float*)_values.Address + first,
                Positions = keysValues.Length / width,
                Heads = _heads,
                HeadWidth = _headWidth,
                HeadStride = (long)Capacity * _headWidth,
            };
            if (lane is not null)
            {
                lane.Run(&StoreHead, &job, _heads);
                return;
            }

            for (int head = 0; head < _heads; head++)
                Store(&job, head);
        }
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static unsafe void StoreHead(void* job, nuint head) => Store((StoreJob*)job, (int)head);

    private static unsafe void Store(StoreJob* job, int head)
    {
        int inner = job->Heads * job->HeadWidth;
        float* source = job->Source + (head * job->HeadWidth);
        float* keys = job->Keys + (head * job->HeadStride), values = job->Values + (head * job->HeadStride);
        for (int position = 0; position < job->Positions; position++)
        {
            new ReadOnlySpan<float>(source, job->HeadWidth).CopyTo(new Span<float>(keys, job->HeadWidth));
            new ReadOnlySpan<float>(source + inner, job->HeadWidth).CopyTo(new Span<float>(values, job->HeadWidth));
            source += 2 * inner;
            keys += job->HeadWidth;
            values += job->HeadWidth;
        }
    }

    private NativeBuffer Grown(NativeBuffer old, int capacity, ReadOnlySpan<int> kept)
    {
        NativeBuffer grown = Allocate(capacity);
        for (long block = 0; block < (long)_slots * _heads; block++)
        {
            int length = kept[(int)(block / _heads)] * _headWidth;
            old.Span<float>(block * Capacity * _headWidth, length).CopyTo(grown.Span<float>(block * capacity * _headWidth, length));
        }

        return grown;
    }

    private unsafe struct StoreJob
    {
        public float* Source;
        public float* Keys;
        public float* Values;
        public int Positions;
        public int Heads;
        public int HeadWidth;
        public long HeadStride;
    }
}
