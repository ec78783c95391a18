// Saves a model over its own file again and again, so that a test can kill it meanwhile.
using System.Diagnostics;
using Microsoft.ML;

string zip = args[0];
var mlContext = new MLContext();
ITransformer model = mlContext.Model.Load(zip, out DataViewSchema schema);

// Ends at last by itself, where the test was killed before it could kill.
for (var watch = Stopwatch.StartNew(); watch.Elapsed < TimeSpan.FromMinutes(2);)
    mlContext.Model.SaveAtomically(model, schema, zip);
