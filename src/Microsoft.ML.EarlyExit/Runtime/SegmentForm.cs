namespace Microsoft.ML.EarlyExit.Runtime;

/// <summary>What a run of a segment takes.</summary>
internal enum SegmentForm
{
    /// <summary>One slot and one or more positions of it.</summary>
    OneSlot,

    /// <summary>One position of each of some slots.</summary>
    Slots,

    /// <summary>One or more positions of each of some slots, packed one after the other; on the CPU only.</summary>
    Packed,

    /// <summary>One or more positions of each of some slots, on a device: see <see cref="DeviceGraph"/>.</summary>
    Device,
}
