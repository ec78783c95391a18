using Microsoft.ML.EarlyExit.Exit;
using Microsoft.ML.EarlyExit.Generation.TokenChoice;
using Microsoft.ML.EarlyExit.Head;
using Microsoft.ML.EarlyExit.Memory;
using Microsoft.ML.EarlyExit.Model;
using Microsoft.ML.EarlyExit.Runtime;

namespace Microsoft.ML.EarlyExit.Generation;

/// <summary>
/// Verifies the drafts of a self-speculation by the full model's choices: the longest run of drafts that it would have chosen stays, and its own choice takes
/// the place of the first one that differs, with which the row continues. Rows are verified together, so that the LM head is read once for them.
/// </summary>
internal sealed class DraftVerifier : IDisposable
{
    private readonly DecoderBatch _decoder;
    private readonly LanguageModelHead _head;
    private readonly HeadProducts _products;
    private readonly ExitPlan _plan;
    private readonly TokenSelector _selector;
    private readonly DecodingRow?[] _rows;
    private readonly OperationCosts _costs;
    private readonly int _endOfSequence;
    private readonly int _maxNewTokens;
    private readonly NativeBuffer _states;
    private readonly int[] _ending;
    private readonly bool[] _continues;

    public DraftVerifier(
        DecoderBatch decoder, LanguageModelHead head, HeadProducts products, ExitPlan plan, TokenSelector selector, DecodingRow?[] rows, OperationCosts costs,
        int endOfSequence, int maxNewTokens)
    {
        _decoder = decoder;
        _head = head;
        _products = products;
        _plan = plan;
        _selector = selector;
        _rows = rows;
        _costs = costs;
        _endOfSequence = endOfSequence;
        _maxNewTokens = maxNewTokens;
        _states = new NativeBuffer((long)HeadProducts.LargestProduct * head.Width * sizeof(float));
        _ending = new int[rows.Length];
        _continues = new bool[rows.Length];
    }

    /// <summary>Whether a row has drafted enough: its token runs all layers, and the drafts with it.</summary>
    public bool HasEnough(DecodingRow row) => row.DraftCount > 0 && row.DraftCount >= _plan.DraftTokens(row.AcceptedDrafts, row.VerifiedDrafts);

    /// <summary>
    /// Whether a row's token at hand still follows its text: it had no drafts, or all were the full model's choices and the row goes on. As of the last
    /// verification.
    /// </summary>
    public bool Continues(int slot) => _continues[slot];

    /// <summary>Verifies the drafts of rows, whose hidden states after the last layer are there.</summary>
    public void Verify(ReadOnlySpan<int> slots)
    {
        for (int first = 0, end; first < slots.Length; first = end)
        {
            int count = 0;
            for (end = first; end < slots.Length && count + _rows[slots[end]]!.DraftCount <= HeadProducts.LargestProduct; end++)
            {
                DecodingRow row = _rows[slots[end]]!;
                // Where no token can exit early, no states are kept.
                if (row.DraftCount == 0)
                    continue;
                Span<float> states = _decoder.States(slots[end], row.SettledCount, row.DraftCount);
                states.CopyTo(_states.Span<float>((long)count * _head.Width, states.Length));
                count += row.DraftCount;
            }

            if (count > 0)
                _products.ComputeMany(_states.Span<float>(0, count * _head.Width), count);
            for (int at = 0, index = first; index < end; index++)
            {
                int drafts = _rows[slots[index]]!.DraftCount;
                _continues[slots[index]] = Verify(slots[index], at);
                at += drafts;
            }
        }
    }

    /// <summary>Verifies the drafts that would end their rows, after which no token comes that could take them along.</summary>
    public void VerifyEndings(CancellationToken cancellationToken)
    {
        int count = 0;
        for (int slot = 0; slot < _rows.Length; slot++)
        {
            if (_rows[slot] is { IsRunning: true, DraftCount: > 0 } row && (row.LastToken == _endOfSequence || row.TokenCount >= _maxNewTokens))
                _ending[count++] = slot;
        }

        if (count == 0)
            return;
        cancellationToken.ThrowIfCancellationRequested();
        ReadOnlySpan<int> ending = _ending.AsSpan(0, count);
        _decoder.RunPending(ending);
        foreach (int slot in ending)
            _rows[slot]!.Count(_decoder.TakeOperations(slot));
        Verify(ending);
    }

    public void Dispose() => _states.Dispose();

    /// <summary>
    /// Takes the full model's choices in the place of a row's drafts; false where the row ends or a draft was wrong, and what came after it is forgotten.
    /// </summary>
    /// <param name="slot">The row's slot.</param>
    /// <param name="first">Where its logits are among those of the last product.</param>
    private bool Verify(int slot, int first)
    {
        DecodingRow row = _rows[slot]!;
        int count = row.DraftCount;
        if (count == 0)
            return true;
        row.Rewind();
        // Those of drafts behind the first wrong one were made too.
        for (int index = 0; index < count; index++)
            row.Count(_costs.ChoiceProduct(_head.VocabularySize));
        for (int index = 0; index < count; index++)
        {
            int token = _selector.Choose(_products.OneOfMany(first + index, row, _plan.LastLayer), [], row);
            if (token == TokenSelector.Invalid)
            {
                row.FailAt(_plan.LastLayer);
                return false;
            }

            bool isAccepted = row.Verify(TokenSelector.Allowed(token), _plan.LastLayer, _endOfSequence, _maxNewTokens);
            if (!row.IsRunning)
                return false;
            if (isAccepted)
                continue;
            _decoder.RollBack(slot, row.TokenCount);
            return false;
        }

        return true;
    }
}
