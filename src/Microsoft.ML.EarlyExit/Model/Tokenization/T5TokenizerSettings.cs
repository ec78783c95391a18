namespace Microsoft.ML.EarlyExit.Model.Tokenization;

/// <summary>What a checkpoint's tokenizer has besides its vocabulary file.</summary>
/// <param name="SentinelCount">How many sentinels follow the pieces.</param>
/// <param name="AddedTokens">Tokens that a user added, and other flags for those that there are; ids and contents occur once.</param>
internal sealed record T5TokenizerSettings(int SentinelCount, IReadOnlyList<AddedToken> AddedTokens);
