using Microsoft.ML.EarlyExit.Memory;

namespace Microsoft.ML.EarlyExit.Runtime;

/// <summary>
/// The hidden state of every token that exited early, and which positions of each layer still lack keys and values. They are filled lazily, for all missing
/// positions at once, by the first later token that reaches the layer: so in any layer the missing ones are a row's last, and a deeper layer lacks all that a
/// shallower one does.
/// </summary>
internal sealed class ExitedStates : IDisposable
{
    private readonly int _slots;
    private readonly int _width;
    private readonly int[] _filled;
    private int _capacity;
    private NativeBuffer _states;

    public ExitedStates(int slots, int layers, int width, int capacity)
    {
        _slots = slots;
        _width = width;
        _capacity = capacity;
        _filled = new int[layers * slots];
        _states = new NativeBuffer((long)slots * capacity * width * sizeof(float));
    }

    public void Grow(int capacity)
    {
        var grown = new NativeBuffer((long)_slots * capacity * _width * sizeof(float));
        for (int slot = 0; slot < _slots; slot++)
        {
            // A slot's states may be more than a span holds.
            for (int position = 0; position < _capacity; position++)
                State(slot, position).CopyTo(grown.Span<float>((((long)slot * capacity) + position) * _width, _width));
        }

        _states.Dispose();
        _states = grown;
        _capacity = capacity;
    }

    /// <summary>The hidden state of the token at a position; see <see cref="States"/>.</summary>
    public Span<float> State(int slot, int position) => States(slot, position, 1);

    /// <summary>
    /// The hidden states of tokens from a position on, one after the other. From <see cref="FirstMissing"/> of a layer on they are those with which the tokens
    /// exited or, where blocks have run for them since, those after the blocks before that layer.
    /// </summary>
    public Span<float> States(int slot, int first, int count) => _states.Span<float>((((long)slot * _capacity) + first) * _width, count * _width);

    /// <summary>The first position of a slot for which a layer, from 1, has no keys and values.</summary>
    public int FirstMissing(int layer, int slot) => _filled[((layer - 1) * _slots) + slot];

    /// <summary>Records that a layer now has keys and values of a slot's positions before <paramref name="end"/>.</summary>
    public void Filled(int layer, int slot, int end) => _filled[((layer - 1) * _slots) + slot] = end;

    /// <summary>Forgets a slot's positions from <paramref name="length"/> on, in all layers.</summary>
    public void Forget(int slot, int length)
    {
        for (int at = slot; at < _filled.Length; at += _slots)
            _filled[at] = Math.Min(_filled[at], length);
    }

    /// <summary>Gives a slot what another knows of its <paramref name="length"/> positions.</summary>
    public void Fork(int from, int to, int length)
    {
        int first = length;
        for (int layer = 0; layer < _filled.Length; layer += _slots)
        {
            _filled[layer + to] = _filled[layer + from];
            first = Math.Min(first, _filled[layer + from]);
        }

        States(from, first, length - first).CopyTo(States(to, first, length - first));
    }

    public void Dispose() => _states.Dispose();
}
