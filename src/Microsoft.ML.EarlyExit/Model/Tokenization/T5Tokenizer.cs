using System.Text;
using Microsoft.ML.EarlyExit.Files;
using Microsoft.ML.EarlyExit.Model.Tokenization;
using PieceType = Microsoft.ML.EarlyExit.Sentencepiece.ModelProto.Types.SentencePiece.Types.Type;

namespace Microsoft.ML.EarlyExit;

/// <summary>
/// The tokenizer of a T5 model: a sentencepiece unigram vocabulary (<c>spiece.model</c>), the 100 sentinels <c>&lt;extra_id_0&gt;</c> to
/// <c>&lt;extra_id_99&gt;</c>, whose ids follow its pieces in descending order unless the vocabulary holds sentinels itself, as mT5's does, and the tokens
/// that a user added to the checkpoint. Its ids are those of Hugging Face's <c>T5Tokenizer</c>. Immutable; safe for use by several threads.
/// </summary>
public sealed class T5Tokenizer
{
    /// <summary>The sentinels of a vocabulary that holds none itself.</summary>
    internal const int DefaultSentinels = 100;

    // Bounds the memory of one call, which takes some ten bytes for a character.
    private const int MaxCharacters = 1 << 26;

    private readonly TextNormalizer _normalizer;
    private readonly UnigramSegmenter _segmenter;
    private readonly SpecialTokens _specialTokens;
    private readonly string?[] _texts;
    private readonly bool[] _special;
    private readonly Dictionary<int, byte> _bytes = [];

    private T5Tokenizer(SentencepieceModel model, int? padTokenId, T5TokenizerSettings? settings)
    {
        EndOfSequenceTokenId = model.ControlPiece(model.Trainer.EosPiece, "end-of-sequence");
        PadTokenId = model.FindControlPiece(model.Trainer.PadPiece) ?? padTokenId ?? -1;
        UnknownTokenId = model.UnknownId;
        HasLeadingSpace = model.Normalizer.AddDummyPrefix || model.Normalizer.RemoveExtraWhitespaces;
        _normalizer = new TextNormalizer(model);
        _segmenter = new UnigramSegmenter(model);

        PieceCount = model.Proto.Pieces.Count;
        int sentinels = settings?.SentinelCount ?? (model.HoldsSentinels ? 0 : DefaultSentinels);
        IReadOnlyList<AddedToken> added = settings?.AddedTokens ?? [];
        int size = Math.Max(PieceCount + sentinels, added.Select(token => token.Id + 1).DefaultIfEmpty().Max());
        _texts = new string?[size];
        _special = new bool[size];
        for (int value = 0; value < model.ByteIds?.Length; value++)
        {
            _bytes.Add(model.ByteIds[value], (byte)value);
        }

        List<AddedToken> found = [];
        for (int id = 0; id < PieceCount; id++)
        {
            string text = SentencepieceModel.Text(model.Proto.Pieces[id].Piece);
            PieceType type = model.Proto.Pieces[id].Type;
            _special[id] = type is PieceType.Control or PieceType.Unknown;
            _texts[id] = _special[id] ? text : text.Replace('\u2581', ' ');
            if (_special[id])
            {
                found.Add(new AddedToken(id, text, IsSpecial: true, StripsLeft: false, StripsRight: false, IsSingleWord: false));
            }
        }

        for (int k = 0; k < sentinels; k++)
        {
            found.Add(new AddedToken(
                PieceCount + sentinels - 1 - k, $"<extra_id_{k}>", IsSpecial: true, StripsLeft: true, StripsRight: true, IsSingleWord: false));
        }

        // A user's token may stand at a piece's id, and is then that token.
        found.AddRange(added);
        foreach (AddedToken token in found)
        {
            _texts[token.Id] = token.Content;
            _special[token.Id] = token.IsSpecial;
            _bytes.Remove(token.Id);
        }

        _specialTokens = new SpecialTokens(found);
        WrittenTokens = found;
    }

    /// <summary>
    /// One more than the highest id: of the pieces of the vocabulary file, the sentinels (32,100 for T5), or the added tokens. A model's embedding matrix may
    /// have more rows.
    /// </summary>
    public int VocabularySize => _texts.Length;

    /// <summary>The id of <c>&lt;/s&gt;</c>, which ends every sequence (1 for T5).</summary>
    public int EndOfSequenceTokenId { get; }

    /// <summary>
    /// The id of <c>&lt;pad&gt;</c>, which also starts the decoder (0 for T5); where the vocabulary has no such piece, the one of the model's configuration,
    /// and -1 for a vocabulary that is loaded by itself.
    /// </summary>
    public int PadTokenId { get; }

    /// <summary>The id of <c>&lt;unk&gt;</c>, which stands for a run of characters without a piece (2 for T5).</summary>
    public int UnknownTokenId { get; }

    /// <summary>The pieces of the vocabulary file; all other ids are above.</summary>
    internal int PieceCount { get; }

    /// <summary>The tokens that are found in a text where they are written out: special pieces, sentinels, then added tokens, which replace those of their
    /// id.</summary>
    internal IReadOnlyList<AddedToken> WrittenTokens { get; }

    /// <summary>Whether the text of a sequence starts with a space that is not part of it.</summary>
    internal bool HasLeadingSpace { get; }

    /// <summary>Loads a vocabulary.</summary>
    /// <param name="path">The <c>spiece.model</c> of a T5 checkpoint.</param>
    /// <exception cref="InvalidModelException">The file is not a sentencepiece unigram model, or is damaged, or no regular file; the message says
    /// where.</exception>
    /// <exception cref="FileNotFoundException">There is no such file.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    /// <exception cref="UnauthorizedAccessException">The file may not be read.</exception>
    public static T5Tokenizer Load(string path) => Load(path, padTokenId: null, settings: null);

    /// <summary>Loads a vocabulary with what else a checkpoint says of its tokenizer.</summary>
    /// <param name="path">The <c>spiece.model</c>.</param>
    /// <param name="padTokenId">The padding id where the vocabulary has no piece for it; null where nobody knows.</param>
    /// <param name="settings">The sentinels and added tokens; null where there is nothing to say.</param>
    /// <exception cref="InvalidModelException">As for the public method.</exception>
    internal static T5Tokenizer Load(string path, int? padTokenId, T5TokenizerSettings? settings)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        using FileStream stream = RegularFile.Open(path);
        return Load(stream, path, padTokenId, settings);
    }

    /// <summary>Loads a vocabulary.</summary>
    /// <param name="stream">The content of the <c>spiece.model</c> of a T5 checkpoint, from the current position to the end. It is left open.</param>
    /// <param name="name">What messages call it.</param>
    /// <exception cref="InvalidModelException">The content is not a sentencepiece unigram model, or is damaged; the message says where.</exception>
    public static T5Tokenizer Load(Stream stream, string name) => Load(stream, name, padTokenId: null, settings: null);

    /// <summary>As the overload for a path.</summary>
    internal static T5Tokenizer Load(Stream stream, string name, int? padTokenId, T5TokenizerSettings? settings)
    {
        ArgumentNullException.ThrowIfNull(stream);
        ArgumentNullException.ThrowIfNull(name);
        return new T5Tokenizer(SentencepieceModel.Read(stream, name), padTokenId, settings);
    }

    /// <summary>Turns a text into token ids.</summary>
    /// <param name="text">The text. It is normalised as the vocabulary asks (T5: NFKC, white space merged and trimmed); lone surrogates count as
    /// U+FFFD.</param>
    /// <param name="addEndOfSequence">Whether <see cref="EndOfSequenceTokenId"/> follows, as T5's encoder expects.</param>
    /// <param name="recognizeSpecialTokens">
    /// Whether <c>&lt;/s&gt;</c>, <c>&lt;pad&gt;</c>, <c>&lt;unk&gt;</c>, <c>&lt;extra_id_0&gt;</c> to <c>&lt;extra_id_99&gt;</c> and added tokens in the
    /// text become their ids, sentinels with the white space around them; <see langword="false"/> takes them as the characters they are,
    /// which is right for text of unknown origin. Sentinels that the vocabulary holds itself are pieces like others.
    /// </param>
    /// <returns>The ids. An empty or blank text has none of its own.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="text"/> is <see langword="null"/>.</exception>
    /// <exception cref="ArgumentException"><paramref name="text"/> has more than 2^26 characters, or 2^28 bytes when normalised.</exception>
    public IReadOnlyList<int> Encode(string text, bool addEndOfSequence = true, bool recognizeSpecialTokens = true)
    {
        ArgumentNullException.ThrowIfNull(text);
        if (text.Length > MaxCharacters)
        {
            throw new ArgumentException(
                $"The text has {text.Length} characters; at most {MaxCharacters} can be encoded at once. Encode it in parts.", nameof(text));
        }

        List<int> ids = [];
        foreach ((string part, AddedToken? token) in recognizeSpecialTokens ? _specialTokens.Split(text) : [(text, null)])
        {
            if (token is null)
            {
                EncodePart(part, ids);
            }
            else
            {
                ids.Add(token.Id);
            }
        }

        if (addEndOfSequence)
        {
            ids.Add(EndOfSequenceTokenId);
        }

        return ids;
    }

    /// <summary>Turns token ids into text.</summary>
    /// <param name="ids">The ids. Those beyond the vocabulary (the padded rows of an embedding matrix) have no text.</param>
    /// <param name="skipSpecialTokens">Whether <c>&lt;/s&gt;</c>, <c>&lt;pad&gt;</c>, <c>&lt;unk&gt;</c>, the sentinels and special added tokens are left out;
    /// if not, they are written out.</param>
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

    /// <summary>The text of an id below <see cref="VocabularySize"/>; null where there is no token between the pieces' ids and those of added tokens.</summary>
    internal string? TextOf(int id) => _texts[id];

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
