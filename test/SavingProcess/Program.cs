// What tests need a process of their own for: saving a model over its own file again and again, until it is killed; or, where rows are given as INPUT TARGET …,
// reading what a saved model says of them.
using System.Diagnostics;
using Microsoft.ML;
using Microsoft.ML.Data;

string zip = args[0];
var mlContext = new MLContext();
ITransformer model = mlContext.Model.Load(zip, out DataViewSchema schema);
if (args.Length > 1)
{
    IDataView rows = model.Transform(mlContext.Data.LoadFromEnumerable(args.Skip(1).Chunk(2).Select(row => new Row { Prompt = row[0], Reference = row[1] })));
    foreach (DataViewSchema.Column column in rows.Schema
        .Where(column => column.Type is VectorDataViewType { ItemType.RawType: var type } && type == typeof(int)))
    {
        foreach (int[] ids in rows.GetColumn<int[]>(column))
            Console.WriteLine($"{column.Name} {string.Join(' ', ids)}");
    }

    return;
}

// Ends at last by itself, where the test was killed before it could kill.
for (var watch = Stopwatch.StartNew(); watch.Elapsed < TimeSpan.FromMinutes(2);)
    mlContext.Model.SaveAtomically(model, schema, zip);

internal sealed class Row
{
    public string Prompt { get; set; } = "";

    public string Reference { get; set; } = "";
}
