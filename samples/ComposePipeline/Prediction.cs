namespace ComposePipeline;

/// <summary>What the pipeline says of a listing.</summary>
internal sealed class Prediction
{
    public string Description { get; set; } = "";

    public string PredictedFood { get; set; } = "";
}
