namespace Microsoft.ML.EarlyExit.Evaluation.DataSets;

/// <summary>One question of SQuAD.</summary>
internal sealed record SquadQuestion(string Id, string Question, string Context, string[] Answers)
{
    /// <summary>What T5 was trained on, with one space between the parts; T5's own preprocessing also puts spaces around punctuation, which no text here
    /// gets.</summary>
    public string Text => $"question: {Question} context: {Context}";
}
