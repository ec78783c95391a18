namespace Microsoft.ML.EarlyExit.Tool.Rows;

/// <summary>What <c>evaluate</c> evaluates.</summary>
internal enum EvaluationKind
{
    Rouge,
    Squad,
    Bleu,
    Chrf,
    Exits,
}
