using System.Text;

namespace Microsoft.ML.EarlyExit;

/// <summary>
/// Turns token ids into text one at a time, as a model generates them. The pieces it returns, put together, are what
/// <see cref="T5Tokenizer.Decode"/> makes of all ids. For one sequence and one thread; create one by <see cref="T5Tokenizer.CreateStreamingDecoder"/>.
/// </summary>
public sealed class T5StreamingDecoder
{
    private readonly T5Tokenizer _tokenizer;
    private readonly bool _skipSpecialTokens;
    private bool _anyShown;
    private byte[] _pending = [];

    internal T5StreamingDecoder(T5Tokenizer tokenizer, bool skipSpecialTokens)
    {
        _tokenizer = tokenizer;
        _skipSpecialTokens = skipSpecialTokens;
    }

    /// <summary>Adds a token.</summary>
    /// <param name="id">Its id. Ids beyond the vocabulary (the padded rows of an embedding matrix) have no text.</param>
    /// <returns>
    /// The text it adds, possibly empty; always whole characters. Where a vocabulary spells rare characters in bytes (T5's does not),
    /// a character is returned with its last byte.
    /// </returns>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="id"/> is negative.</exception>
    public string Append(int id)
    {
        if (id < 0)
        {
            throw new ArgumentOutOfRangeException(nameof(id), id, $"The token id {id} is negative.");
        }

        if (id >= _tokenizer.VocabularySize || _tokenizer.TextOf(id) is not { } text || (_skipSpecialTokens && _tokenizer.IsSpecial(id)))
        {
            return "";
        }

        bool first = !_anyShown;
        _anyShown = true;
        if (_tokenizer.TryGetByte(id, out byte value))
        {
            _pending = [.. _pending, value];
            return TakeCharacters(complete: false);
        }

        if (first && text.StartsWith(' ') && _tokenizer.HasLeadingSpace)
        {
            return text[1..];
        }

        return _pending.Length == 0 ? text : TakeCharacters(complete: true) + text;
    }

    /// <summary>Takes whole characters off the pending bytes; each byte that cannot be part of one becomes U+FFFD.</summary>
    private string TakeCharacters(bool complete)
    {
        StringBuilder text = new();
        ReadOnlySpan<byte> bytes = _pending;
        while (!bytes.IsEmpty)
        {
            System.Buffers.OperationStatus status = Rune.DecodeFromUtf8(bytes, out Rune rune, out int taken);
            if (status == System.Buffers.OperationStatus.NeedMoreData && !complete)
            {
                break;
            }

            bool valid = status == System.Buffers.OperationStatus.Done;
            text.Append(valid ? rune.ToString() : "\uFFFD");
            bytes = bytes[(valid ? taken : 1)..];
        }

        _pending = bytes.ToArray();
        return text.ToString();
    }
}
