namespace Microsoft.ML.EarlyExit.Training;

/// <summary>What a classifier says of an example that was held out, in the columns that ML.NET's evaluation looks for.</summary>
internal sealed class HeldOutPrediction
{
    public bool Label { get; set; }

    public float Score { get; set; }

    public bool PredictedLabel { get; set; }
}
