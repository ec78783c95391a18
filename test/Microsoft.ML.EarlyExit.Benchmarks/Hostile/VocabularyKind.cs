using System.Text;

namespace Microsoft.ML.EarlyExit.Benchmarks;

/// <summary>Sentencepiece models: loaded, texts encoded with them and decoded again.</summary>
internal sealed class VocabularyKind(HostileSeeds seeds) : HostileKind("vocabulary", 20)
{
    private const string FileName = "spiece.model";

    public override string Write(HostileRandom random, string folder)
    {
        byte[] vocabulary = seeds.Bundle[FileName];
        int changes = 1 + random.Next(4);
        for (int change = 0; change < changes; change++)
            vocabulary = VocabularyMutator.Mutate(vocabulary, random);
        string holder = Directory.CreateDirectory(Path.Combine(folder, "vocabulary")).FullName;
        File.WriteAllBytes(Path.Combine(holder, FileName), vocabulary);
        return random.Chance(2) ? FolderMutator.Mutate(holder, random) : $"{changes} changes";
    }

    public override string? Receive(HostileRandom random, string folder)
    {
        string path = Path.Combine(folder, "vocabulary", FileName);
        T5Tokenizer tokenizer = Call(() => T5Tokenizer.Load(path), typeof(InvalidModelException), typeof(IOException));
        foreach (string text in HostileTexts.All.Append(HostileTexts.Next(random)))
        {
            IReadOnlyList<int> ids = tokenizer.Encode(text, recognizeSpecialTokens: random.Chance(50));
            BrokenResultException.Unless(ids.All(id => id >= 0 && id < tokenizer.VocabularySize), "an id outside of the vocabulary");
            CheckDecoding(tokenizer, [.. ids]);
        }

        int[] any = [.. Enumerable.Range(0, 64).Select(_ => random.Next(tokenizer.VocabularySize + 5))];
        CheckDecoding(tokenizer, any);
        return null;
    }

    private static void CheckDecoding(T5Tokenizer tokenizer, int[] ids)
    {
        string text = tokenizer.Decode(ids);
        T5StreamingDecoder decoder = tokenizer.CreateStreamingDecoder();
        var streamed = new StringBuilder();
        foreach (int id in ids)
            streamed.Append(decoder.Append(id));
        BrokenResultException.Unless(
            text.StartsWith(streamed.ToString(), StringComparison.Ordinal), "a streaming decoder that says something else than Decode");
    }
}
