using Microsoft.ML.EarlyExit.Model.Bundle;
using Microsoft.ML.OnnxRuntime;

namespace Microsoft.ML.EarlyExit.Runtime;

/// <summary>Binds caches to a segment of blocks on a device.</summary>
internal static class CacheBinding
{
    /// <summary>Binds a layer's caches: those of all slots, or of one slot as if there were no other.</summary>
    /// <param name="binding">The segment's binding.</param>
    /// <param name="layer">The layer.</param>
    /// <param name="self">The cache of self-attention.</param>
    /// <param name="cross">The cache of cross-attention.</param>
    /// <param name="slot">The slot; null for all.</param>
    public static void BindCaches(this OrtIoBinding binding, int layer, KeyValueCache self, KeyValueCache cross, int? slot)
    {
        Bind(GraphContract.SelfKeys, GraphContract.PresentSelfKeys, slot is { } keys ? self.SlotKeys(keys) : self.Keys);
        Bind(GraphContract.SelfValues, GraphContract.PresentSelfValues, slot is { } values ? self.SlotValues(values) : self.Values);
        // What only is read is not given back.
        Bind(GraphContract.CrossKeys, null, slot is { } crossKeys ? cross.SlotKeys(crossKeys) : cross.Keys);
        Bind(GraphContract.CrossValues, null, slot is { } crossValues ? cross.SlotValues(crossValues) : cross.Values);

        void Bind(string past, string? present, OrtValue value)
        {
            // The same memory as past and present: it is appended to in place.
            binding.BindInput(SegmentComposer.CacheName(past, layer), value);
            if (present is not null)
                binding.BindOutput(SegmentComposer.CacheName(present, layer), value);
        }
    }
}
