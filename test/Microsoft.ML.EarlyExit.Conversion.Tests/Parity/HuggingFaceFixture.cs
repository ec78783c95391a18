using System.Text.Json;
using Microsoft.ML.EarlyExit.Conversion.Checkpoint;

namespace Microsoft.ML.EarlyExit.Conversion.Tests;

/// <summary>What Hugging Face computed for one of the small models: see test/fixtures/hf-t5/README.md.</summary>
internal sealed class HuggingFaceFixture : IDisposable
{
    private readonly JsonDocument _json;
    private readonly SafetensorsFile _file;
    private readonly Dictionary<string, CheckpointTensor> _tensors;

    public HuggingFaceFixture(string model)
    {
        string folder = Repository.Fixture(Path.Combine("hf-t5", model));
        _json = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(folder, "cases.json")));
        _file = SafetensorsFile.Open(Path.Combine(folder, "tensors.safetensors"));
        _tensors = _file.Tensors.ToDictionary(tensor => tensor.Name);
    }

    public JsonElement Root => _json.RootElement;

    public IEnumerable<JsonElement> Cases => Root.GetProperty("cases").EnumerateArray();

    public float[] Tensor(string name)
    {
        float[] values = new float[_tensors[name].ElementCount];
        _tensors[name].Read(0, values);
        return values;
    }

    /// <summary>How far a tensor of that kind may be from Hugging Face's.</summary>
    public double Tolerance(string kind) => (10 * Root.GetProperty("max_abs_difference_to_float64").GetProperty(kind).GetDouble()) + 1e-5;

    public void Dispose()
    {
        _file.Dispose();
        _json.Dispose();
    }

    public static int[][] Rows(JsonElement matrix) =>
        [.. matrix.EnumerateArray().Select(row => row.EnumerateArray().Select(value => value.GetInt32()).ToArray())];
}
