using Microsoft.ML;
using Microsoft.ML.EarlyExit;
using Samples;

namespace WebService;

/// <summary>The zip that the service loads.</summary>
internal static class SavedModel
{
    /// <summary>The zip's path; the first start makes it from the demo model.</summary>
    public static string GetZip()
    {
        string zip = SampleFolders.Artifact("web-service.zip");
        if (File.Exists(zip))
            return zip;
        var mlContext = new MLContext();
        IDataView data = mlContext.Data.LoadFromEnumerable<Prompt>([]);
        using TextGenerationTransformer model = mlContext.Transforms.Text.GenerateText(new TextGenerationEstimator.Options
        {
            InputColumnName = "Input",
            OutputColumnName = "Text",
            ExitLayersColumnName = "ExitLayers",
            StopReasonColumnName = "StopReason",
            ModelPath = DemoModel.GetBundle(),
            GenerationOptions = new TextGenerationOptions { MaxNewTokens = 64, Exit = new ExitPolicy { MinimumLayer = 4, Threshold = 0.9f } },
        }).Fit(data);

        // Another service that starts meanwhile never sees half a zip.
        mlContext.Model.SaveAtomically(model, data.Schema, zip);
        return zip;
    }
}
