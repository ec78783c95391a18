using System.Globalization;
using Microsoft.ML.EarlyExit.Model;
using Microsoft.ML.EarlyExit.Model.Tokenization;

namespace Microsoft.ML.EarlyExit.Conversion.Checkpoint;

/// <summary>
/// What a checkpoint says of its tokenizer besides <c>spiece.model</c>: <c>tokenizer_config.json</c>, and where that lists no added tokens
/// <c>added_tokens.json</c> and <c>special_tokens_map.json</c>, as transformers reads them.
/// </summary>
internal static class CheckpointTokenizer
{
    private const string ConfigFile = "tokenizer_config.json";
    private const string AddedFile = "added_tokens.json";
    private const string SpecialFile = "special_tokens_map.json";

    private static readonly string[] SpecialFields =
        ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token", "additional_special_tokens", "extra_special_tokens"];

    /// <summary>Reads and checks a checkpoint's tokenizer.</summary>
    /// <param name="checkpoint">The checkpoint.</param>
    /// <param name="warnings">Gets where the vocabulary and the model disagree.</param>
    /// <returns>What a bundle has to keep besides the vocabulary; null where that is nothing, or there is no vocabulary.</returns>
    /// <exception cref="InvalidModelException">A file is damaged, or an added token is impossible.</exception>
    public static T5TokenizerSettings? Read(T5Checkpoint checkpoint, List<string> warnings)
    {
        if (checkpoint.TokenizerPath is not { } path)
        {
            string other = Path.Exists(Path.Combine(checkpoint.Folder, "tokenizer.json")) ? " (its tokenizer.json is not read)" : "";
            warnings.Add(
                $"'{checkpoint.Folder}' has no spiece.model{other}: without a tokenizer the bundle takes token ids only, and neither reads nor writes text.");
            return null;
        }

        T5Configuration model = checkpoint.Configuration;
        using CheckpointJson? config = Open(checkpoint, ConfigFile);
        T5Tokenizer plain = T5Tokenizer.Load(path, model.PadTokenId, settings: null);
        checkpoint.FilesRead.Add(Path.GetFileName(path));
        int ownSentinels = plain.VocabularySize - plain.PieceCount;

        if (config?.OptionalBoolean("legacy") == false)
        {
            warnings.Add(
                $"'{config.Path}' asks for \"legacy\": false, which this version does not do: the text after a special or added token starts with a space of "
                + "its own, as it does in transformers without that setting. Texts without such tokens are not affected.");
        }

        // A vocabulary with sentinels of its own has them once, whatever is said of more.
        int sentinels = ownSentinels == 0 ? 0 : config?.OptionalInteger("extra_ids", 0, T5ConfigurationLimits.VocabularySize) ?? ownSentinels;
        if (sentinels != ownSentinels)
        {
            plain = T5Tokenizer.Load(path, model.PadTokenId, new T5TokenizerSettings(sentinels, []));
        }

        AddedToken[] added = [.. AddedTokens(checkpoint, config).Where(token => !plain.WrittenTokens.Contains(token))];
        CompareWithModel(checkpoint, plain, path, warnings);
        foreach (AddedToken token in added.Where(token => token.Id < plain.PieceCount && plain.TextOf(token.Id) != token.Content))
        {
            warnings.Add(
                $"'{checkpoint.Folder}' gives the added token '{CheckpointText.Shown(token.Content)}' the id {token.Id}, which is "
                + $"'{CheckpointText.Shown(plain.TextOf(token.Id)!)}' in spiece.model: the added token takes its place, as in transformers.");
        }

        return sentinels == T5Tokenizer.DefaultSentinels && added.Length == 0 ? null : new T5TokenizerSettings(sentinels, added);
    }

    private static void CompareWithModel(T5Checkpoint checkpoint, T5Tokenizer tokenizer, string path, List<string> warnings)
    {
        T5Configuration model = checkpoint.Configuration;
        int rows = model.VocabularySize;
        if (tokenizer.PieceCount > rows)
        {
            warnings.Add(
                $"'{path}' has {tokenizer.PieceCount} pieces, but the embedding has {rows} rows (vocab_size of config.json): a text with ids from {rows} on is "
                + "an error of its row. Vocabulary and weights seem to be of different models.");
        }
        else if (tokenizer.VocabularySize > rows)
        {
            warnings.Add(
                $"'{path}' and the sentinels that follow its pieces have {tokenizer.VocabularySize} ids, but the embedding has {rows} rows (vocab_size of "
                + $"config.json): a text with a sentinel whose id is {rows} or above is an error of its row.");
        }

        if (tokenizer.EndOfSequenceTokenId != model.EndOfSequenceTokenId)
        {
            warnings.Add(
                $"'{path}' ends sequences with id {tokenizer.EndOfSequenceTokenId}, the configuration with {model.EndOfSequenceTokenId} (eos_token_id): "
                + "inputs end with the former, generated texts with the latter.");
        }

        if (tokenizer.PadTokenId != model.PadTokenId)
        {
            warnings.Add($"'{path}' pads with id {tokenizer.PadTokenId}, the configuration with {model.PadTokenId} (pad_token_id), which is used.");
        }
    }

    private static IReadOnlyList<AddedToken> AddedTokens(T5Checkpoint checkpoint, CheckpointJson? config)
    {
        T5Configuration model = checkpoint.Configuration;
        string file = Path.Combine(checkpoint.Folder, ConfigFile);
        List<AddedToken> tokens;
        if (config?.OptionalObjects("added_tokens_decoder") is { } listed)
        {
            HashSet<string> special = [.. SpecialFields.SelectMany(config.Tokens)];
            tokens = [.. listed.Select(entry => Listed(entry.Name, entry.Fields, special, config.Path))];
        }
        else
        {
            using CheckpointJson? added = Open(checkpoint, AddedFile);
            if (added is null)
            {
                return [];
            }

            file = added.Path;
            using CheckpointJson? map = Open(checkpoint, SpecialFile);
            HashSet<string> special = [.. SpecialFields.SelectMany(field => (config?.Tokens(field) ?? []).Concat(map?.Tokens(field) ?? []))];
            tokens =
            [
                .. added.Fields.Select(field => new AddedToken(
                    added.RequiredInteger(field.Name, 0, T5ConfigurationLimits.VocabularySize), field.Name, special.Contains(field.Name), false, false, false)),
            ];
        }

        var ids = new Dictionary<int, string>();
        var contents = new HashSet<string>();
        foreach (AddedToken token in tokens)
        {
            string shown = CheckpointText.Shown(token.Content);
            if (token.Content.Length is 0 or > AddedToken.LongestContent)
            {
                throw new InvalidModelException(
                    $"'{file}': the added token of id {token.Id} has {token.Content.Length} characters; 1 to {AddedToken.LongestContent} are expected.");
            }

            if (token.Id >= model.VocabularySize)
            {
                throw new InvalidModelException(
                    $"'{file}' gives the added token '{shown}' the id {token.Id}, but the embedding has {model.VocabularySize} rows (vocab_size of "
                    + "config.json): resize it with resize_token_embeddings and save the checkpoint again, or remove the token.");
            }

            if (!ids.TryAdd(token.Id, shown))
            {
                throw new InvalidModelException($"'{file}' gives the added tokens '{ids[token.Id]}' and '{shown}' the same id {token.Id}.");
            }

            if (!contents.Add(token.Content))
            {
                throw new InvalidModelException($"'{file}' gives the added token '{shown}' two ids.");
            }
        }

        return tokens;
    }

    private static AddedToken Listed(string id, CheckpointJson fields, HashSet<string> special, string file)
    {
        if (!int.TryParse(id, NumberStyles.None, CultureInfo.InvariantCulture, out int number))
        {
            throw new InvalidModelException($"'{file}': added_tokens_decoder has the field '{CheckpointText.Shown(id)}'; an id is expected.");
        }

        string content = fields.OptionalString("content") ?? throw new InvalidModelException($"'{fields.Path}' lacks 'content', a string.");
        return new AddedToken(
            number, content, (fields.OptionalBoolean("special") ?? false) || special.Contains(content), fields.OptionalBoolean("lstrip") ?? false,
            fields.OptionalBoolean("rstrip") ?? false, fields.OptionalBoolean("single_word") ?? false);
    }

    private static CheckpointJson? Open(T5Checkpoint checkpoint, string name)
    {
        string path = Path.Combine(checkpoint.Folder, name);
        if (!Path.Exists(path))
        {
            return null;
        }

        CheckpointJson json = CheckpointJson.Open(path);
        checkpoint.FilesRead.Add(name);
        return json;
    }
}
