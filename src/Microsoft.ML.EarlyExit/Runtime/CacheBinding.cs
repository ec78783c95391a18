using Microsoft.ML.EarlyExit.Model.Bundle;
using Microsoft.ML.OnnxRuntime;

namespace Microsoft.ML.EarlyExit.Runtime;

/// <summary>Binds caches to a segment of blocks.</summary>
internal static class CacheBinding
{
    /// <summary>Binds a layer's caches: those of all slots, or of one slot as if there were no other.</summary>
    public static void BindCaches(this OrtIoBinding binding, int layer, KeyValueCache self, KeyValueCache cross, int? slot)
    {
        Bind(GraphContract.SelfKeys, GraphContract.PresentSelfKeys, slot is { } keys ? self.SlotKeys(keys) : self.Keys);
        Bind(GraphContract.SelfValues, GraphContract.PresentSelfValues, slot is { } values ? self.SlotValues(values) : self.Values);
        Bind(GraphContract.CrossKeys, GraphContract.PresentCrossKeys, slot is { } crossKeys ? cross.SlotKeys(crossKeys) : cross.Keys);
        Bind(GraphContract.CrossValues, GraphContract.PresentCrossValues, slot is { } crossValues ? cross.SlotValues(crossValues) : cross.Values);

        void Bind(string past, string present, OrtValue value)
        {
            // The same memory as past and present: the kernel appends in place.
            binding.BindInput(SegmentComposer.CacheName(past, layer), value);
            binding.BindOutput(SegmentComposer.CacheName(present, layer), value);
        }
    }
}
