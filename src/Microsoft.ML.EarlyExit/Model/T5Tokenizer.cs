namespace Microsoft.ML.EarlyExit;

/// <summary>Stub.</summary>
public sealed class T5Tokenizer
{
    /// <summary>Loads a sentencepiece unigram model.</summary>
    public static T5Tokenizer Load(string path) => throw new NotImplementedException();

    /// <summary>Encodes.</summary>
    public IReadOnlyList<int> Encode(string text, bool addEndOfSequence = true, bool recognizeSpecialTokens = true) => throw new NotImplementedException();

    /// <summary>Decodes.</summary>
    public string Decode(ReadOnlySpan<int> ids, bool skipSpecialTokens = true) => throw new NotImplementedException();
}
