using System.Numerics;
using Microsoft.ML.OnnxRuntime;

namespace Microsoft.ML.EarlyExit;

/// <summary>Computes the keys and values that state copying owes a layer, for all rows that reach it, in as few products as they take.</summary>
internal sealed class StateCopier : IDisposable
{
    private const int LargestRun = 256;

    private readonly ModelSessions _sessions;
    private readonly ExitedStates _states;
    private readonly int _width;
    private readonly int _stride;
    private readonly NativeBuffer _input;
    private readonly NativeBuffer _output;
    private readonly (int Slot, int Position)[] _pending = new (int Slot, int Position)[LargestRun];
    private readonly Dictionary<(int Layer, int Count), OrtIoBinding> _bindings = [];
    private readonly Dictionary<int, (OrtValue Input, OrtValue Output)> _views = [];
    private readonly RunOptions _run;

    public StateCopier(ModelSessions sessions, ExitedStates states, int width, int keysValuesWidth, RunOptions run)
    {
        _sessions = sessions;
        _states = states;
        _width = width;
        _stride = keysValuesWidth;
        _run = run;
        _input = new NativeBuffer((long)LargestRun * width * sizeof(float));
        _output = new NativeBuffer((long)LargestRun * keysValuesWidth * sizeof(float));
    }

    /// <summary>Brings a layer up to the position of every slot in <paramref name="slots"/>.</summary>
    public void BringUp(int layer, KeyValueCache cache, ReadOnlySpan<int> slots, ReadOnlySpan<int> positions)
    {
        int count = 0;
        foreach (int slot in slots)
        {
            int end = positions[slot];
            for (int position = _states.FirstMissing(layer, slot); position < end; position++)
            {
                _states.State(slot, position).CopyTo(_input.Span<float>((long)count * _width, _width));
                _pending[count++] = (slot, position);
                if (count < LargestRun)
                    continue;
                Run(layer, cache, count);
                count = 0;
            }

            _states.Filled(layer, slot, Math.Max(end, _states.FirstMissing(layer, slot)));
        }

        if (count > 0)
            Run(layer, cache, count);
    }

    public void Dispose()
    {
        foreach (OrtIoBinding binding in _bindings.Values)
            binding.Dispose();
        foreach ((OrtValue input, OrtValue output) in _views.Values)
        {
            input.Dispose();
            output.Dispose();
        }

        _input.Dispose();
        _output.Dispose();
    }

    private void Run(int layer, KeyValueCache cache, int count)
    {
        // Rounded up, so that few shapes occur; the rows beyond are computed for nothing.
        int rows = (int)BitOperations.RoundUpToPowerOf2((uint)count);
        InferenceSession session = _sessions.StateKeysValues(layer);
        if (!_bindings.TryGetValue((layer, rows), out OrtIoBinding? binding))
            _bindings[(layer, rows)] = binding = Bind(session, rows);
        session.RunWithBinding(_run, binding);
        for (int index = 0; index < count; index++)
            cache.Store(_pending[index].Slot, _pending[index].Position, _output.Span<float>((long)index * _stride, _stride));
    }

    private OrtIoBinding Bind(InferenceSession session, int rows)
    {
        if (!_views.TryGetValue(rows, out (OrtValue Input, OrtValue Output) views))
            _views[rows] = views = (BoundTensor.Floats(_input, rows, _width), BoundTensor.Floats(_output, rows, _stride));
        OrtIoBinding binding = session.CreateIoBinding();
        binding.BindInput(GraphContract.Hidden, views.Input);
        binding.BindOutput(GraphContract.KeysValues, views.Output);
        return binding;
    }
}
