namespace Microsoft.ML.EarlyExit.Evaluation.DataSets;

/// <summary>One example of a data set.</summary>
/// <param name="Id">Its id in the file; a number from 1 where the file has none.</param>
/// <param name="Text">What to generate from: of SQuAD <c>question: … context: …</c>, of the others the text as it stands, without a prefix.</param>
/// <param name="References">The references, or the answers; at least one.</param>
/// <param name="AreAnswers">Whether they are answers, to be judged by exact match and F1, rather than texts to be judged by ROUGE.</param>
internal sealed record DataSetExample(string Id, string Text, IReadOnlyList<string> References, bool AreAnswers);
