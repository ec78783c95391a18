using System.Text.Json;
using Microsoft.ML.EarlyExit.Evaluation.Files;
using Microsoft.ML.EarlyExit.Evaluation.Json;

namespace Microsoft.ML.EarlyExit.Evaluation.DataSets;

/// <summary>Reads SamSum: an array of objects with <c>id</c>, <c>dialogue</c> and <c>summary</c>. Fields it does not know are passed over.</summary>
internal static class SamSumFile
{
    /// <summary>The dialogues of a file, in its order, one in memory at a time.</summary>
    internal static IEnumerable<SamSumDialogue> Read(string path)
    {
        using FileStream stream = InputFile.Open(path);
        var json = new JsonTokenReader(stream, path);
        var ids = new UniqueIds();
        json.Read();
        json.Require(JsonTokenType.StartArray);
        while (json.TryReadItem())
            yield return ReadDialogue(json, ids);
        json.ReadEnd();
        ids.RequireAny(path);
    }

    private static SamSumDialogue ReadDialogue(JsonTokenReader json, UniqueIds ids)
    {
        json.Require(JsonTokenType.StartObject);
        string? id = null;
        string? dialogue = null;
        string? summary = null;
        while (json.TryReadName(out string? name))
        {
            switch (name)
            {
                case "id":
                    ids.Add(id = json.ReadString(), json);
                    break;
                case "dialogue":
                    dialogue = json.ReadString();
                    break;
                case "summary":
                    summary = json.ReadString();
                    break;
                default:
                    json.Skip();
                    break;
            }
        }

        return new SamSumDialogue(json.Required(id, "id"), json.Required(dialogue, "dialogue"), json.Required(summary, "summary"));
    }
}
