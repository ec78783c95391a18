using Microsoft.ML.EarlyExit.Exit.Pruning;
using Microsoft.ML.EarlyExit.Memory;

namespace Microsoft.ML.EarlyExit.Head;

/// <summary>The rows of the LM head of one token's alive vocabulary, one after the other, each gathered once for a list.</summary>
internal sealed unsafe class AliveRows(LanguageModelHead head) : IDisposable
{
    private NativeBuffer? _rows;
    private int _listNumber;
    private int _gathered;

    /// <summary>The rows of the tokens that are alive; not while the vocabulary is full.</summary>
    public float* Gather(AliveVocabulary alive)
    {
        Reserve(alive);
        if (_listNumber != alive.ListNumber)
            (_listNumber, _gathered) = (alive.ListNumber, 0);
        for (ReadOnlySpan<int> ids = alive.Ids; _gathered < ids.Length; _gathered++)
            head.CopyRow(ids[_gathered], _rows!.Span<float>((long)_gathered * head.Width, head.Width));
        return (float*)_rows!.Address;
    }

    /// <summary>Makes memory for the rows, so that gathering them cannot fail.</summary>
    public void Reserve(AliveVocabulary alive)
    {
        if (_rows is null || _rows.Bytes < (long)alive.Count * head.Width * sizeof(float))
        {
            _rows?.Dispose();
            _rows = new NativeBuffer((long)Math.Max(alive.Count, alive.Most) * head.Width * sizeof(float));
            _gathered = 0;
        }
    }

    public void Dispose() => _rows?.Dispose();
}
