using System.Text;
using FsCheck;
using FsCheck.Xunit;
using Microsoft.ML.EarlyExit.Calibration;
using Microsoft.ML.EarlyExit.Exit;
using Microsoft.ML.EarlyExit.Generation;
using Microsoft.ML.EarlyExit.Model.Bundle;

namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>What is wrong with JSON is told to whoever wrote the file, with the file and the line, in the documented exception.</summary>
public sealed class JsonProblemTests
{
    private static readonly string[] s_readersWords =
        ["reader options", "LineNumber", "BytePositionInLine", "Path: $", "payload", "isFinalBlock", "System.", "this mode"];

    /// <summary>Texts, and what is said of them.</summary>
    public static TheoryData<string, string> Texts => new()
    {
        { "{\"maxNewTokens\": 5,}", "a comma stands before a closing bracket; remove it (line 1, byte 20)" },
        { "{\n \"maxNewTokens\": [1,]\n}", "a comma stands before a closing bracket; remove it (line 2, byte 21)" },
        { "", "it is empty" },
        { "  \n ", "it is empty" },
        { "{\"prefix\": [", "it ends before all that was opened is closed" },
        { "{\"prefix\": \"a", "it ends before all that was opened is closed" },
        { "{} {}", "something follows after its end (line 1, byte 4)" },
        { "{\n\n\"maxNewTokens\": five}", "(line 3, byte 18)" },
        { new string('[', 200), "nested too deeply" },
    };

    [Theory]
    [MemberData(nameof(Texts))]
    public void What_is_no_JSON_is_told_in_words_with_line_and_byte(string text, string said)
    {
        foreach (Func<Stream, object> parse in (Func<Stream, object>[])[
            json => TextGenerationOptionsJson.Parse(json, "a.json"), json => ExitPolicyJson.Parse(json, "a.json"),
            json => CalibrationCertificateJson.Parse(json, "a.json")])
        {
            string message = Assert.Throws<InvalidDataException>(() => parse(new MemoryStream(Encoding.UTF8.GetBytes(text)))).Message;
            Assert.StartsWith("a.json is not valid JSON: ", message, StringComparison.Ordinal);
            Assert.Contains(said, message, StringComparison.Ordinal);
            Assert.All(s_readersWords, word => Assert.DoesNotContain(word, message, StringComparison.Ordinal));
        }
    }

    [Fact]
    public void A_value_that_is_not_UTF_8_is_refused_with_its_line()
    {
        foreach (string value in (string[])["\"\u0001\"", "[\"\u0001\"]", "{\"kind\": \"\u0001\"}"])
        {
            byte[] json = Latin($"{{\n  \"minimumLayer\": 2,\n  \"confidence\": {value} }}", 0xFF);
            Assert.Equal(
                "p.json, line 3: it is not valid UTF-8. Save the file as UTF-8.",
                Assert.Throws<InvalidDataException>(() => ExitPolicyJson.Parse(new MemoryStream(json), "p.json")).Message);
        }
    }

    [Fact]
    public void Options_and_certificates_that_are_not_UTF_8_are_refused_with_their_line()
    {
        byte[] json = Latin("{\n  \"prefix\": \"\u0001\" }", 0xFF);
        foreach (Func<Stream, object> parse in (Func<Stream, object>[])[
            text => TextGenerationOptionsJson.Parse(text, "a.json"), text => CalibrationCertificateJson.Parse(text, "a.json")])
        {
            Assert.Equal(
                "a.json, line 2: it is not valid UTF-8. Save the file as UTF-8.",
                Assert.Throws<InvalidDataException>(() => parse(new MemoryStream(json))).Message);
        }
    }

    [Fact]
    public void A_text_without_an_end_is_refused_before_it_fills_the_memory()
    {
        using var endless = new Endless();
        Assert.Equal(
            "p.json has more than 67108864 bytes; a file of this kind has far fewer.",
            Assert.Throws<InvalidDataException>(() => ExitPolicyJson.Parse(endless, "p.json")).Message);
        Assert.InRange(endless.BytesRead, 64 << 20, 65 << 20);
    }

    [Fact]
    public void A_string_with_half_a_surrogate_pair_is_refused()
    {
        Assert.Contains(
            "o.json",
            Assert.Throws<InvalidDataException>(() => TextGenerationOptionsJson.Parse("{\"prefix\": \"\uD800\"}", "o.json")).Message,
            StringComparison.Ordinal);
        Assert.Contains(
            "prefix",
            Assert.Throws<InvalidDataException>(() => TextGenerationOptionsJson.Parse("{\"prefix\": \"\\ud800\"}", "o.json")).Message,
            StringComparison.Ordinal);
    }

    [Fact]
    public void A_byte_order_mark_is_no_part_of_the_text()
    {
        Assert.Equal(3, TextGenerationOptionsJson.Parse(Marked("{\"maxNewTokens\": 3}"), "o.json").MaxNewTokens);
        Assert.Equal(2, ExitPolicyJson.Parse(Marked("{\"minimumLayer\": 2}"), "p.json").MinimumLayer);
    }

    [Fact]
    public void A_manifest_whose_values_are_of_other_kinds_is_told_by_the_field()
    {
        using var tampered = new TamperedBundle();
        tampered.EditManifest(root => root["tensors"]![0]!["offset"] = "0");
        Assert.Contains("tensors[0].offset is of another kind than it must be", Refused(tampered), StringComparison.Ordinal);
        tampered.EditManifest(root => root["tensors"]![0]!.AsObject().Remove("offset"));
        Assert.Contains("lacks 'offset'", Refused(tampered), StringComparison.Ordinal);
        File.WriteAllBytes(tampered.ManifestPath, Latin("{\n\"format\": \"\u0001\"}", 0xC0));
        Assert.Contains("line 2: it is not valid UTF-8", Refused(tampered), StringComparison.Ordinal);
    }

    /// <summary>Whatever bytes stand in a file, there is one kind of exception, and it names the file.</summary>
    [Property(MaxTest = 300)]
    public void Any_bytes_are_read_or_refused_by_the_documented_exception(byte[] bytes, PositiveInt place)
    {
        byte[] sound = Encoding.UTF8.GetBytes("{\"minimumLayer\": 2, \"threshold\": 0.5, \"confidence\": {\"kind\": \"softmaxMargin\"}}");
        int at = place.Get % sound.Length;
        byte[] text = [.. sound[..at], .. bytes, .. sound[Math.Min(sound.Length, at + bytes.Length)..]];
        try
        {
            ExitPolicyJson.Parse(new MemoryStream(text), "p.json");
        }
        catch (InvalidDataException exception)
        {
            Assert.StartsWith("p.json", exception.Message, StringComparison.Ordinal);
            Assert.All(s_readersWords[..4], word => Assert.DoesNotContain(word, exception.Message, StringComparison.Ordinal));
        }
    }

    private static string Refused(TamperedBundle tampered)
    {
        string message = Assert.Throws<InvalidModelException>(() => ModelBundle.Open(tampered.Folder)).Message;
        Assert.Contains("model.json", message, StringComparison.Ordinal);
        Assert.All(s_readersWords, word => Assert.DoesNotContain(word, message, StringComparison.Ordinal));
        return message;
    }

    private static MemoryStream Marked(string json) => new([.. Encoding.UTF8.Preamble, .. Encoding.UTF8.GetBytes(json)]);

    /// <summary>The text with a byte in place of U+0001.</summary>
    private static byte[] Latin(string text, byte value) => [.. Encoding.UTF8.GetBytes(text).Select(found => found == 1 ? value : found)];

    /// <summary>What a device gives.</summary>
    private sealed class Endless : MemoryStream
    {
        public long BytesRead { get; private set; }

        public override int Read(byte[] buffer, int offset, int count)
        {
            buffer.AsSpan(offset, count).Fill((byte)' ');
            BytesRead += count;
            return count;
        }
    }
}
