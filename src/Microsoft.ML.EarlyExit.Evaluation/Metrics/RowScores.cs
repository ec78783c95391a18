namespace Microsoft.ML.EarlyExit.Evaluation.Metrics;

/// <summary>One row's scores; those that were not asked for are not set.</summary>
internal struct RowScores
{
    public RougeScores Rouge;
    public SquadScore Squad;
    public double AgreementExact;
    public double AgreementRougeL;
    public double AgreementF1;
}
