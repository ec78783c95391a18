namespace Microsoft.ML.EarlyExit.Evaluation.Metrics;

/// <summary>How ROUGE cuts texts.</summary>
/// <param name="UseStemmer">Whether words are compared by their stems.</param>
/// <param name="Tokenizer">What words are.</param>
/// <param name="SplitSentences">Whether lines end behind sentences, too.</param>
internal readonly record struct RougeRules(bool UseStemmer, RougeTokenizer Tokenizer, bool SplitSentences);
