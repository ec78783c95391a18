// Generation in the middle of a pipeline: listings lose their markup, the model describes them, and a classifier learns to tell the food from the descriptions.
using System.Net;
using System.Text.RegularExpressions;
using Microsoft.ML;
using Microsoft.ML.Data;
using Microsoft.ML.EarlyExit;
using Samples;

string[] foods = ["Chinese", "English", "French", "Indian", "Italian", "Japanese"];
Listing[] known = [.. Listings("Blue Spice", "Alimentum", "Aromi", "Cocum", "The Vaults", "The Mill")];
Listing[] heldOut = [.. Listings("The Wrestlers", "Clowns", "Zizzi")];

var mlContext = new MLContext(seed: 1);
IDataView trainingData = mlContext.Data.LoadFromEnumerable(known);
var pipeline = mlContext.Transforms.CustomMapping<Listing, CleanListing>((listing, clean) => clean.Slots = WithoutMarkup(listing.Html), contractName: null)
    .Append(mlContext.Transforms.Text.GenerateText("Description", "Slots", DemoModel.GetBundle(), new TextGenerationOptions
    {
        Prefix = "describe: ", BatchSize = 16, Exit = new ExitPolicy { MinimumLayer = 4, Threshold = 0.9f },
    }))
    // What follows reads its input many times; without the cache every pass would generate again.
    .AppendCacheCheckpoint(mlContext)
    .Append(mlContext.Transforms.Text.FeaturizeText("Features", "Description"))
    .Append(mlContext.Transforms.Conversion.MapValueToKey("Label", "Food"))
    .Append(mlContext.MulticlassClassification.Trainers.SdcaMaximumEntropy(maximumNumberOfIterations: 50))
    .Append(mlContext.Transforms.Conversion.MapKeyToValue("PredictedFood", "PredictedLabel"));
using var model = pipeline.Fit(trainingData);

IDataView predictions = model.Transform(mlContext.Data.LoadFromEnumerable(heldOut));
MulticlassClassificationMetrics metrics = mlContext.MulticlassClassification.Evaluate(predictions);
Console.WriteLine($"Learned from {known.Length} descriptions; accuracy on {heldOut.Length} of places not seen: {metrics.MicroAccuracy:F2}");

using var engine = mlContext.Model.CreatePredictionEngine<Listing, Prediction>(model, new PredictionEngineOptions { OwnsTransformer = false });
var listing = new Listing { Html = "<li>name[<b>The Eagle</b>], eatType[coffee&nbsp;shop], food[Indian], near[Burger King]</li>" };
Prediction prediction = engine.Predict(listing);
Console.WriteLine($"Listing:     {listing.Html}");
Console.WriteLine($"Description: {prediction.Description}");
Console.WriteLine($"Food:        {prediction.PredictedFood}");

IEnumerable<Listing> Listings(params string[] names) =>
    from name in names
    from food in foods
    from area in (string[])["city centre", "riverside"]
    select new Listing { Html = $"<li>name[<b>{name}</b>], eatType[restaurant], food[{food}],\n  area[{area.Replace(" ", "&nbsp;")}]</li>", Food = food };

// Case and punctuation stay: the model was trained with them.
static string WithoutMarkup(string html) => WebUtility.HtmlDecode(Regex.Replace(html, "<[^>]*>", ""));

/// <summary>A place as a web page lists it, and the food it serves where that is known.</summary>
internal sealed class Listing
{
    public string Html { get; set; } = "";

    public string Food { get; set; } = "";
}

/// <summary>A listing without its markup.</summary>
internal sealed class CleanListing
{
    public string Slots { get; set; } = "";
}

/// <summary>What the pipeline says of a listing.</summary>
internal sealed class Prediction
{
    public string Description { get; set; } = "";

    public string PredictedFood { get; set; } = "";
}
