using Microsoft.ML.EarlyExit.Model.Bundle;
using Microsoft.ML.OnnxRuntime;

namespace Microsoft.ML.EarlyExit.Runtime;

/// <summary>Binds what the graphs of <see cref="DeviceGraph"/> take.</summary>
internal static class DeviceBinding
{
    /// <summary>Runs with what is bound, of which some was copied to a device or is to come from there; all of it has when this returns.</summary>
    public static void RunSynchronized(this InferenceSession session, RunOptions run, OrtIoBinding binding)
    {
        binding.SynchronizeBoundInputs();
        session.RunWithBinding(run, binding);
        binding.SynchronizeBoundOutputs();
    }

    /// <summary>Binds the positions of a sequence where a graph takes them, as those of <see cref="DeviceGraph"/> do.</summary>
    /// <returns>What is bound, to be disposed after the run.</returns>
    public static IDisposable? BindPositions(this OrtIoBinding binding, InferenceSession session, int length)
    {
        if (!session.InputMetadata.ContainsKey(DeviceGraph.Positions))
            return null;
        var positions = new BoundBuffer<long>(length);
        for (int position = 0; position < length; position++)
            positions.Values[position] = position;
        binding.BindInput(DeviceGraph.Positions, positions.View);
        return positions;
    }

    /// <summary>Runs a graph of keys and values on a device: they go into a cache there.</summary>
    public static void StoreKeysValues(this InferenceSession session, RunOptions run, OrtValue hidden, OrtValue entries, KeyValueCache cache)
    {
        using OrtIoBinding binding = session.CreateIoBinding();
        binding.BindInput(GraphContract.Hidden, hidden);
        binding.BindInput(DeviceGraph.Entries, entries);
        binding.BindInput(DeviceGraph.Keys, cache.Keys);
        binding.BindInput(DeviceGraph.Values, cache.Values);
        binding.BindOutput(DeviceGraph.PresentKeys, cache.Keys);
        binding.BindOutput(DeviceGraph.PresentValues, cache.Values);
        session.RunSynchronized(run, binding);
    }
}
