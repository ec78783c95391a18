namespace Microsoft.ML.EarlyExit.Evaluation.Metrics;

/// <summary>Numbers the different tokens of a few texts from 0, without a string for each.</summary>
internal sealed class TokenTable
{
    private char[] _text = new char[1024];
    private int _textLength;
    private int _pending;
    private Entry[] _entries = new Entry[128];
    private int[] _slots = new int[256];
    private readonly List<int> _usedSlots = [];

    private record struct Entry(int Start, int Length, int Hash);

    /// <summary>How many different tokens there are.</summary>
    public int Count { get; private set; }

    /// <summary>How many chars and slots are held, to tell when a large text has blown the table up.</summary>
    public int Capacity => Math.Max(_text.Length, _slots.Length);

    /// <summary>The chars of the token being written.</summary>
    public Span<char> Pending => _text.AsSpan(_textLength, _pending);

    /// <summary>Forgets all tokens.</summary>
    public void Clear()
    {
        foreach (int slot in _usedSlots)
            _slots[slot] = 0;
        _usedSlots.Clear();
        _textLength = _pending = Count = 0;
    }

    /// <summary>Writes one more char of a token.</summary>
    public void Append(char c)
    {
        if (_textLength + _pending == _text.Length)
            Array.Resize(ref _text, Longer(_text.Length));
        _text[_textLength + _pending++] = c;
    }

    /// <summary>Writes more chars of a token.</summary>
    public void Append(ReadOnlySpan<char> chars)
    {
        foreach (char c in chars)
            Append(c);
    }

    /// <summary>Ends the token being written, of which <paramref name="length"/> chars count, and gives its number.</summary>
    public int Commit(int length)
    {
        int id = Add(_text.AsSpan(_textLength, length), isWritten: true);
        _pending = 0;
        return id;
    }

    /// <summary>The number of a token.</summary>
    public int Add(ReadOnlySpan<char> token) => Add(token, isWritten: false);

    /// <summary>The token of a number.</summary>
    public ReadOnlySpan<char> this[int id] => _text.AsSpan(_entries[id].Start, _entries[id].Length);

    private int Add(ReadOnlySpan<char> token, bool isWritten)
    {
        // Seeded at random, so that no text can be made whose tokens all fall into one slot.
        int hash = string.GetHashCode(token);
        int slot = hash & (_slots.Length - 1);
        for (; _slots[slot] != 0; slot = (slot + 1) & (_slots.Length - 1))
        {
            ref Entry entry = ref _entries[_slots[slot] - 1];
            if (entry.Hash == hash && token.SequenceEqual(_text.AsSpan(entry.Start, entry.Length)))
                return _slots[slot] - 1;
        }

        if (!isWritten)
        {
            while (_text.Length - _textLength < token.Length)
                Array.Resize(ref _text, Longer(_text.Length));
            token.CopyTo(_text.AsSpan(_textLength));
        }

        if (Count == _entries.Length)
            Array.Resize(ref _entries, Longer(Count));
        _entries[Count] = new(_textLength, token.Length, hash);
        _textLength += token.Length;
        _slots[slot] = ++Count;
        _usedSlots.Add(slot);
        if (2 * Count > _slots.Length)
            Rehash();
        return Count - 1;
    }

    private void Rehash()
    {
        _slots = new int[checked(2 * _slots.Length)];
        _usedSlots.Clear();
        for (int id = 0; id < Count; id++)
        {
            int slot = _entries[id].Hash & (_slots.Length - 1);
            while (_slots[slot] != 0)
                slot = (slot + 1) & (_slots.Length - 1);
            _slots[slot] = id + 1;
            _usedSlots.Add(slot);
        }
    }

    private static int Longer(int length) => length < Array.MaxLength
        ? (int)Math.Min(2L * length, Array.MaxLength)
        : throw new InsufficientMemoryException("The texts' different tokens take more than 2 GB.");
}
