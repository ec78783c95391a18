using System.Text.Json;
using Microsoft.ML.EarlyExit.Evaluation.Files;
using Microsoft.ML.EarlyExit.Evaluation.Json;

namespace Microsoft.ML.EarlyExit.Evaluation.DataSets;

/// <summary>
/// Reads SQuAD v1.1: an object with <c>data</c>, of articles with <c>paragraphs</c>, of a <c>context</c> and its <c>qas</c>. Fields it does not know are passed
/// over.
/// </summary>
internal static class SquadFile
{
    private const string Version = "1.1";

    /// <summary>The questions of a file, in its order; one paragraph is in memory at a time.</summary>
    internal static IEnumerable<SquadQuestion> Read(string path)
    {
        using FileStream stream = InputFile.Open(path);
        var json = new JsonTokenReader(stream, path);
        var ids = new UniqueIds();
        json.Read();
        json.Require(JsonTokenType.StartObject);
        string? data = null;
        while (json.TryReadName(out string? name))
        {
            if (name == "version")
            {
                CheckVersion(json);
            }
            else if (name == "data")
            {
                data = name;
                json.Read();
                json.Require(JsonTokenType.StartArray);
                while (json.TryReadItem())
                {
                    foreach (SquadQuestion question in ReadArticle(json, ids))
                        yield return question;
                }
            }
            else
            {
                json.Skip();
            }
        }

        json.Required(data, "data");
        json.ReadEnd();
        ids.RequireAny(path);
    }

    private static void CheckVersion(JsonTokenReader json)
    {
        string version = json.ReadString();
        if (version.TrimStart('v') != Version)
            throw json.Refuse($"only SQuAD v{Version} is supported, which has an answer to every question");
    }

    private static IEnumerable<SquadQuestion> ReadArticle(JsonTokenReader json, UniqueIds ids)
    {
        json.Require(JsonTokenType.StartObject);
        string? paragraphs = null;
        while (json.TryReadName(out string? name))
        {
            if (name != "paragraphs")
            {
                json.Skip();
                continue;
            }

            paragraphs = name;
            json.Read();
            json.Require(JsonTokenType.StartArray);
            while (json.TryReadItem())
            {
                foreach (SquadQuestion question in ReadParagraph(json, ids))
                    yield return question;
            }
        }

        json.Required(paragraphs, "paragraphs");
    }

    /// <summary>The context may stand behind its questions.</summary>
    private static IEnumerable<SquadQuestion> ReadParagraph(JsonTokenReader json, UniqueIds ids)
    {
        json.Require(JsonTokenType.StartObject);
        string? context = null;
        List<SquadQuestion>? questions = null;
        while (json.TryReadName(out string? name))
        {
            switch (name)
            {
                case "context":
                    context = json.ReadString();
                    break;
                case "qas":
                    questions = [];
                    json.Read();
                    json.Require(JsonTokenType.StartArray);
                    while (json.TryReadItem())
                        questions.Add(ReadQuestion(json, ids));
                    break;
                default:
                    json.Skip();
                    break;
            }
        }

        string found = json.Required(context, "context");
        return json.Required(questions, "qas").Select(question => question with { Context = found });
    }

    private static SquadQuestion ReadQuestion(JsonTokenReader json, UniqueIds ids)
    {
        json.Require(JsonTokenType.StartObject);
        string? id = null;
        string? question = null;
        string[]? answers = null;
        while (json.TryReadName(out string? name))
        {
            switch (name)
            {
                case "id":
                    ids.Add(id = json.ReadString(), json);
                    break;
                case "question":
                    question = json.ReadString();
                    break;
                case "answers":
                    answers = ReadAnswers(json);
                    break;
                case "is_impossible" or "plausible_answers":
                    throw json.Fail($"{json.Path} is of SQuAD v2.0, which has questions without an answer; only v{Version} is supported.");
                default:
                    json.Skip();
                    break;
            }
        }

        return new SquadQuestion(json.Required(id, "id"), json.Required(question, "question"), "", json.Required(answers, "answers"));
    }

    private static string[] ReadAnswers(JsonTokenReader json)
    {
        json.Read();
        json.Require(JsonTokenType.StartArray);
        var answers = new List<string>();
        while (json.TryReadItem())
        {
            json.Require(JsonTokenType.StartObject);
            string? text = null;
            while (json.TryReadName(out string? name))
            {
                if (name == "text")
                    text = json.ReadString();
                else
                    json.Skip();
            }

            answers.Add(json.Required(text, "text"));
        }

        return answers.Count > 0 ? [.. answers] : throw json.Fail($"{json.Path} is empty; in SQuAD v{Version} every question has an answer.");
    }
}
