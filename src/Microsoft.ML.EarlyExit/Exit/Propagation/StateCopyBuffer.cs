namespace Microsoft.ML.EarlyExit;

/// <summary>
/// State copying, done lazily (section 3.1 of the paper): keeps the hidden state of every token that left early, and which positions of each layer still lack
/// keys and values. A layer nobody reaches again never computes them; the first later token that reaches it brings all missing positions up.
/// </summary>
internal sealed class StateCopyBuffer : IDisposable
{
    private readonly int _slots;
    private readonly int _width;
    private readonly int[] _filled;
    private int _capacity;
    private NativeBuffer _states;

    public StateCopyBuffer(int slots, int layers, int width, int capacity)
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
        int kept = _capacity * _width;
        for (int slot = 0; slot < _slots; slot++)
            _states.Span<float>((long)slot * kept, kept).CopyTo(grown.Span<float>((long)slot * capacity * _width, kept));
        _states.Dispose();
        _states = grown;
        _capacity = capacity;
    }

    /// <summary>The hidden state with which the token at a position left; meaningful from <see cref="FirstMissing"/> on.</summary>
    public Span<float> State(int slot, int position) => _states.Span<float>(((long)slot * _capacity + position) * _width, _width);

    /// <summary>The first position of a slot for which a layer, from 1, has no keys and values.</summary>
    public int FirstMissing(int layer, int slot) => _filled[((layer - 1) * _slots) + slot];

    /// <summary>Says that a layer now has keys and values of a slot's positions before <paramref name="end"/>.</summary>
    public void Filled(int layer, int slot, int end) => _filled[((layer - 1) * _slots) + slot] = end;

    /// <summary>Forgets a slot's row: another begins there.</summary>
    public void Reset(int slot)
    {
        for (int at = slot; at < _filled.Length; at += _slots)
            _filled[at] = 0;
    }

    public void Dispose() => _states.Dispose();
}
