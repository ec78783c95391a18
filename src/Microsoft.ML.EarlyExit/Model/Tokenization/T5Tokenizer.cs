using System.Text;
using PieceType = Microsoft.ML.EarlyExit.Sentencepiece.ModelProto.Types.SentencePiece.Types.Type;

namespace Microsoft.ML.EarlyExit;

/// <summary>
/// The tokenizer of a T5 model: a sentencepiece unigram vocabulary (<c>spiece.model</c>) and the 100 sentinels
/// <c>&lt;extra_id_0&gt;</c> to <c>&lt;extra_id_99&gt;</c>, whose ids follow its pieces in descending order. Its ids are those of
/// Hugging Face's <c>T5Tokenizer</c>. Immutable; safe for use by several threads.
/// </summary>
public sealed class T5Tokenizer
{
    private const int ExtraIds = 100;

    // Bounds the memory of one call, which takes some ten bytes for a character.
    private const int MaxCharacters = 1 << 26;

    private readonly TextNormalizer _normalizer;
    private readonly UnigramSegmenter _segmenter;
    private readonly SpecialTokens _specialTokens;
    private readonly string[] _texts;
    private readonly bool[] _special;
    private readonly Dictionary<int, byte> _bytes = [];

    private T5Tokenizer(SentencepieceModel model)
    {
        EndOfSequenceTokenId = model.ControlPiece(model.Trainer.EosPiece, "end-of-sequence");
        PadTokenId = model.ControlPiece(model.Trainer.PadPiece, "padding");
        UnknownTokenId = model.UnknownId;
        HasLeadingSpace = model.Normalizer.AddDummyPrefix || model.Normalizer.RemoveExtraWhitespaces;
        _normalizer = new TextNormalizer(model);
        _segmenter = new UnigramSegmenter(model);

        int pieces = model.Proto.Pieces.Count;
        _texts = new string[pieces + ExtraIds];
        _special = new bool[pieces + ExtraIds];
        Dictionary<string, int> special = new(StringComparer.Ordinal);
        for (int id = 0; id < pieces; id++)
        {
            string text = SentencepieceModel.Text(model.Proto.Pieces[id].Piece);
            PieceType type = model.Proto.Pieces[id].Type;
            _special[id] = type is PieceType.Control or PieceType.Unknown;
            _texts[id] = _special[id] ? text : text.Replace('\u2581', ' ');
            if (_special[id])
            {
                special.Add(text, id);
            }
        }

        for (int k = 0; k < ExtraIds; k++)
        {
            int id = pieces + ExtraIds - 1 - k;
            _special[id] = true;
            _texts[id] = $"<extra_id_{k}>";
            special[_texts[id]] = id;
        }

        _specialTokens = new SpecialTokens(special, pieces);
        for (int value = 0; value < model.ByteIds?.Length; value++)
        {
            _bytes.Add(model.ByteIds[value], (byte)value);
        }
    }

    /// <summary>The number of ids: the pieces of the vocabulary file and the 100 sentinels (32,100 for T5). A model's embedding matrix may have more rows.</summary>
    public int VocabularySize => _texts.Length;

    /// <summary>The id of <c>&lt;/s&gt;</c>, which ends every sequence (1 for T5).</summary>
    public int EndOfSequenceTokenId { get; }

    /// <summary>The id of <c>&lt;pad&gt;</c>, which also starts the decoder (0 for T5).</summary>
    public int PadTokenId { get; }

    /// <summary>The id of <c>&lt;unk&gt;</c>, which stands for a run of characters without a piece (2 for T5).</summary>
    public int UnknownTokenId { get; }

    /// <summary>Whether the text of a sequence starts with a space that is not part of it.</summary>
    internal bool HasLeadingSpace { get; }

    /// <summary>Loads a vocabulary.</summary>
    /// <param name="path">The <c>spiece.model</c> of a T5 checkpoint.</param>
    /// <exception cref="InvalidModelException">The file is not a sentencepiece unigram model, or is damaged, or no regular file; the message says where.</exception>
    /// <exception cref="FileNotFoundException">There is no such file.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    /// <exception cref="UnauthorizedAccessException">The file may not be read.</exception>
    public static T5Tokenizer Load(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        using FileStream stream = RegularFile.Open(path);
        return Load(stream, path);
    }

    /// <summary>Loads a vocabulary.</summary>
    /// <param name="stream">The content of the <c>spiece.model</c> of a T5 checkpoint, from the current position to the end. It is left open.</param>
    /// <param name="name">What messages call it.</param>
    /// <exception cref="InvalidModelException">The content is not a sentencepiece unigram model, or is damaged; the message says where.</exception>
    public static T5Tokenizer Load(Stream stream, string name)
    {
        ArgumentNullException.ThrowIfNull(stream);
        ArgumentNullException.ThrowIfNull(name);
        return new T5Tokenizer(SentencepieceModel.Read(stream, name));
    }

    /// <summary>Turns a text into token ids.</summary>
    /// <param name="text">The text. It is normalised as the vocabulary asks (T5: NFKC, white space merged and trimmed); lone surrogates count as U+FFFD.</param>
    /// <param name="addEndOfSequence">Whether <see cref="EndOfSequenceTokenId"/> follows, as T5's encoder expects.</param>
    /// <param name="recognizeSpecialTokens">
    /// Whether <c>&lt;/s&gt;</c>, <c>&lt;pad&gt;</c>, <c>&lt;unk&gt;</c> and <c>&lt;extra_id_0&gt;</c> to <c>&lt;extra_id_99&gt;</c> in the
    /// text become their ids, sentinels with the white space around them; <see langword="false"/> takes them as the characters they are,
    /// which is right for text of unknown origin.
    /// </param>
    /// <returns>The ids. An empty or blank text has none of its own.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="text"/> is <see langword="null"/>.</exception>
    /// <exception cref="ArgumentException"><paramref name="text"/> has more than 2^26 characters, or 2^28 bytes when normalised.</exception>
    public IReadOnlyList<int> Encode(string text, bool addEndOfSequence = true, bool recognizeSpecialTokens = true)
    {
        ArgumentNullException.ThrowIfNull(text);
        if (text.Length > MaxCharacters)
        {
            throw new ArgumentException($"The text has {text.Length} characters; at most {MaxCharacters} can be encoded at once. Encode it in parts.", nameof(text));
        }

        List<int> ids = [];
        ReadOnlySpan<char> rest = text;
        while (recognizeSpecialTokens && _specialTokens.TrySplit(rest, out ReadOnlySpan<char> before, out int id, out ReadOnlySpan<char> after))
        {
            EncodePart(before, ids);
            ids.Add(id);
            rest = after;
        }

        EncodePart(rest, ids);
        if (addEndOfSequence)
        {
            ids.Add(EndOfSequenceTokenId);
        }

        return ids;
    }

    /// <summary>Turns token ids into text.</summary>
    /// <param name="ids">The ids. Those beyond the vocabulary (the padded rows of an embedding matrix) have no text.</param>
    /// <param name="skipSpecialTokens">Whether <c>&lt;/s&gt;</c>, <c>&lt;pad&gt;</c>, <c>&lt;unk&gt;</c> and the sentinels are left out; if not, they are written out.</param>
    /// <returns>The text, without the space before its first token.</returns>
    /// <exception cref="ArgumentOutOfRangeException">An id is negative.</exception>
    public string Decode(ReadOnlySpan<int> ids, bool skipSpecialTokens = true)
    {
        T5StreamingDecoder decoder = CreateStreamingDecoder(skipSpecialTokens);
        StringBuilder text = new();
        foreach (int id in ids)
        {
            text.Append(decoder.Append(id));
        }

        return text.ToString();
    }

    /// <summary>Creates a decoder that takes ids one at a time.</summary>
    /// <param name="skipSpecialTokens">As for <see cref="Decode"/>.</param>
    public T5StreamingDecoder CreateStreamingDecoder(bool skipSpecialTokens = true) => new(this, skipSpecialTokens);

    internal bool IsSpecial(int id) => _special[id];

    internal string TextOf(int id) => _texts[id];

    internal bool TryGetByte(int id, out byte value) => _bytes.TryGetValue(id, out value);

    private void EncodePart(ReadOnlySpan<char> text, List<int> ids)
    {
        if (text.IsEmpty)
        {
            return;
        }

        PooledBytes normalized = new(text.Length + 16);
        try
        {
            _normalizer.Normalize(text, ref normalized);
            _segmenter.Segment(normalized.Written, ids);
        }
        finally
        {
            normalized.Dispose();
        }
    }
}
