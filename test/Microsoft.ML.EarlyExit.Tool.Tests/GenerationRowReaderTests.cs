using System.Text;
using System.Text.Json;
using FsCheck;
using FsCheck.Xunit;
using Microsoft.ML.EarlyExit.Tool.Rows;

namespace Microsoft.ML.EarlyExit.Tool.Tests;

public sealed class GenerationRowReaderTests
{
    private static readonly string[] s_pieces =
    [
        "{", "}", "[", "]", ":", ",", "\"", "\\", "\\ud800", "\\u0000", "\"id\"", "\"text\"", "\"inputIds\"", "\"targetIds\"", "1", "-1.5e3", "null", "true",
        "\n", "\r", " ", "\0", "é",
    ];

    [Property(MaxTest = 500)]
    public void Any_bytes_are_rows_or_errors(byte[] bytes) => AssertReadable(bytes);

    [Property(MaxTest = 2000)]
    public void Any_mixture_of_json_pieces_is_rows_or_errors(byte[] choices) =>
        AssertReadable(Encoding.UTF8.GetBytes(string.Concat(choices.Select(choice => s_pieces[choice % s_pieces.Length]))));

    [Property(MaxTest = 300)]
    public void Ids_and_other_fields_pass_through_unchanged(NonNull<string> id, NonNull<string> name, NonNull<string> value, NonNull<string> text)
    {
        string idJson = JsonSerializer.Serialize(id.Get);
        string field = $"{JsonSerializer.Serialize("x" + name.Get)}:{JsonSerializer.Serialize(value.Get)}";
        GenerationRow row = Assert.Single(Read(Encoding.UTF8.GetBytes($$"""{{{field}},"text":{{JsonSerializer.Serialize(text.Get)}},"id":{{idJson}}}""")));
        Assert.Null(row.Error);
        Assert.Equal(JsonSerializer.Deserialize<string>(JsonSerializer.Serialize(text.Get)), row.Input!.Value.Text);
        var output = new StringWriter();
        new GenerationRowWriter(output, writesOperations: false).Write(
            row, new GenerationResult { Text = text.Get, TokenIds = [1], ExitLayers = [2], Confidences = [float.NaN], StopReason = StopReason.MaxNewTokens });
        Assert.StartsWith($"{{\"id\":{idJson},", output.ToString());
        Assert.EndsWith($"\"stopReason\":\"maxNewTokens\",{field}}}\n", output.ToString());
        Assert.Equal(JsonValueKind.Null, Assert.Single(ToolResult.ParseRows(output.ToString())).GetProperty("confidences")[0].ValueKind);
    }

    [Fact]
    public void Halves_of_surrogate_pairs_are_written()
    {
        var output = new StringWriter();
        new GenerationRowWriter(output, writesOperations: false).Write(
            GenerationRow.FromText(""),
            new GenerationResult
            {
                Text = "a\ud800b\udc00", TokenIds = [], ExitLayers = [], Confidences = [], StopReason = StopReason.Error, Error = "\udfff",
            });
        JsonElement row = Assert.Single(ToolResult.ParseRows(output.ToString()));
        Assert.Equal("a\ufffdb\ufffd", row.GetProperty("text").GetString());
        Assert.Equal("\ufffd", row.GetProperty("error").GetString());
    }

    private static List<GenerationRow> Read(byte[] bytes, bool hasTargets = false)
    {
        var reader = new GenerationRowReader(new MemoryStream(bytes), hasTargets);
        List<GenerationRow> rows = [];
        while (reader.TryRead(out GenerationRow row))
            rows.Add(row);
        return rows;
    }

    private static void AssertReadable(byte[] bytes)
    {
        List<GenerationRow> rows = Read(bytes);
        Assert.Equal(rows.Count, rows.Select(row => row.LineNumber).Distinct().Count());
        var output = new StringWriter();
        var writer = new GenerationRowWriter(output, writesOperations: false);
        foreach (GenerationRow row in rows)
        {
            Assert.NotEqual(row.Input is null, row.Error is null);
            writer.Write(row, new GenerationResult { TokenIds = [], ExitLayers = [], Confidences = [], StopReason = StopReason.Error, Error = row.Error });
        }

        Assert.Equal(rows.Count, ToolResult.ParseRows(output.ToString()).Length);
        List<GenerationRow> targets = Read(bytes, hasTargets: true);
        Assert.Equal(rows.Select(row => row.LineNumber), targets.Select(row => row.LineNumber));
        Assert.All(targets, row => Assert.Equal((row.Error is null, row.Error is null), (row.Input is not null, row.Target is not null)));
        var scores = new StringWriter();
        var scoreWriter = new ScoreWriter(scores);
        foreach (GenerationRow row in targets)
            scoreWriter.Write(row, row.Error ?? "");
        Assert.Equal(rows.Count, ToolResult.ParseRows(scores.ToString()).Length);
    }
}
