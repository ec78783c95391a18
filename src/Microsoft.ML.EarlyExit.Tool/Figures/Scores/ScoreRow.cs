using System.Globalization;
using System.Text.Json;
using Microsoft.ML.EarlyExit.Evaluation.Json;

namespace Microsoft.ML.EarlyExit.Tool.Figures.Scores;

/// <summary>One row of <c>score</c>.</summary>
/// <param name="Layers">Every layer's values; null where the row is an error.</param>
internal sealed record ScoreRow(IReadOnlyList<ScoreRow.Layer>? Layers)
{
    /// <summary>Reads a row; fields that figures do not need are passed over.</summary>
    /// <exception cref="InvalidDataException">It is none; the message names the file, the line, and the field.</exception>
    public static ScoreRow Read(byte[] line, string path, long number)
    {
        var json = new JsonTokenReader(line, path, number);
        json.Read();
        json.Require(JsonTokenType.StartObject);
        List<Layer>? layers = null;
        bool isError = false;
        while (json.TryReadName(out string? name))
        {
            if (name == "error")
            {
                json.ReadString();
                isError = true;
            }
            else if (name == "layers")
            {
                layers = [];
                json.Read();
                json.Require(JsonTokenType.StartArray);
                while (json.TryReadItem())
                    layers.Add(ReadLayer(json, layers));
            }
            else
            {
                json.Skip();
            }
        }

        if (isError)
        {
            json.ReadEnd();
            return new ScoreRow(Layers: null);
        }

        if (json.Required(layers, "layers").Count == 0)
            throw json.Fail("layers is empty; it must have all layers of the decoder.");
        json.ReadEnd();
        return new ScoreRow(layers);
    }

    private static Layer ReadLayer(JsonTokenReader json, List<Layer> before)
    {
        json.Require(JsonTokenType.StartObject);
        int? layer = null;
        List<int>? argMax = null;
        List<int>? ranks = null;
        List<double?>? confidences = null;
        while (json.TryReadName(out string? name))
        {
            switch (name)
            {
                case "layer":
                    json.Read();
                    layer = ReadInteger(json);
                    if (layer != before.Count + 1)
                        throw json.Refuse($"layers must be in their order, so it must be {before.Count + 1}");
                    break;
                case "argmax":
                    argMax = ReadItems(json, ReadInteger);
                    break;
                case "rank":
                    ranks = ReadItems(json, ReadInteger);
                    break;
                case "confidence":
                    confidences = ReadItems(json, ReadConfidence);
                    break;
                default:
                    json.Skip();
                    break;
            }
        }

        _ = json.Required(layer is null ? null : "", "layer");
        var read = new Layer(json.Required(argMax, "argmax"), json.Required(ranks, "rank"), json.Required(confidences, "confidence"));
        int count = before.Count == 0 ? read.ArgMax.Count : before[0].ArgMax.Count;
        foreach ((string name, int length) in ((string, int)[])
            [("argmax", read.ArgMax.Count), ("rank", read.Ranks.Count), ("confidence", read.Confidences.Count)])
        {
            if (length != count)
                throw json.Fail($"{json.Path}.{name} has {length} items and layers[0].argmax {count}; there must be one for each token of the target.");
        }

        return read;
    }

    private static List<T> ReadItems<T>(JsonTokenReader json, Func<JsonTokenReader, T> read)
    {
        json.Read();
        json.Require(JsonTokenType.StartArray);
        var items = new List<T>();
        while (json.TryReadItem())
            items.Add(read(json));
        return items;
    }

    private static int ReadInteger(JsonTokenReader json) =>
        json.Type == JsonTokenType.Number && int.TryParse(json.Text, NumberStyles.None, CultureInfo.InvariantCulture, out int number)
            ? number
            : throw json.Refuse("it must be a whole number, not negative");

    private static double? ReadConfidence(JsonTokenReader json)
    {
        if (json.Type == JsonTokenType.Null)
            return null;
        return json.Type == JsonTokenType.Number
            && double.TryParse(json.Text, NumberStyles.Float, CultureInfo.InvariantCulture, out double number) && double.IsFinite(number)
            ? number
            : throw json.Refuse("it must be a number or null");
    }

    /// <summary>What one layer would have said; an item for each token of the target.</summary>
    /// <param name="ArgMax">The likeliest tokens.</param>
    /// <param name="Ranks">The ranks of the last layer's tokens, from 0.</param>
    /// <param name="Confidences">The confidences; null where there are none.</param>
    internal sealed record Layer(IReadOnlyList<int> ArgMax, IReadOnlyList<int> Ranks, IReadOnlyList<double?> Confidences);
}
