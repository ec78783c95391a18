using System.Text;
using Microsoft.ML.EarlyExit.Calibration;
using Microsoft.ML.EarlyExit.Files;

namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>Finished runs return as they were; a file that is damaged or of something else is refused, and stays as it is.</summary>
public sealed class CalibrationCheckpointTests : IDisposable
{
    private const string Identity = "0123456789abcdef";

    private static readonly string s_first = $"{{\"calibration\":\"{Identity}\"}}\n";

    private readonly TemporaryFolder _folder = new(Path.GetTempPath());

    private string FilePath => Path.Combine(_folder.Path, "calibration.partial");

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void What_was_added_is_found_again()
    {
        Write();
        using var checkpoint = new CalibrationCheckpoint(FilePath, Identity);
        Assert.Equal(2, checkpoint.Count);
        Assert.Equal(["a", "日本 \u2028 ü"], checkpoint.FindTexts("full depth")!);
        CandidateResult result = checkpoint.Find("one")!;
        Assert.Equal([0, 0.1 + 0.2, 1], result.Losses);
        Assert.Equal((3.5, new MeanOperationCounts(1, 2, 3, 4, 1e300)), (result.MeanExitLayer, result.Operations));
    }

    [Theory]
    [InlineData("{\"weights\":[1,2,3]}")]
    [InlineData("{}")]
    [InlineData("{\"calibration\":\"0123456789abcdeg")]
    [InlineData("{\"calibration\":\"0123456789abcdef\"} ")]
    [InlineData(" ")]
    [InlineData("\0\0")]
    [InlineData("\n")]
    [InlineData("{\n  \"weights\": [1, 2, 3]\n}\n")]
    [InlineData("{\"calibration\":\"another\"}\n{\"run\":")]
    [InlineData("\uFEFF{\"calibration\":\"0123456789abcdef\"}\n")]
    public void A_file_of_something_else_stays_as_it_is(string text)
    {
        File.WriteAllText(FilePath, text);
        Assert.Contains(FilePath, Refusal(), StringComparison.Ordinal);
        Assert.Equal(Encoding.UTF8.GetBytes(text), File.ReadAllBytes(FilePath));
    }

    [Fact]
    public void Where_only_the_first_line_was_begun_a_calibration_begins()
    {
        for (int length = 0; length <= s_first.Length; length++)
        {
            File.WriteAllText(FilePath, s_first[..length]);
            using (var checkpoint = new CalibrationCheckpoint(FilePath, Identity))
                Assert.Equal(0, checkpoint.Count);
            Assert.Equal(s_first, File.ReadAllText(FilePath));
        }
    }

    [Fact]
    public void A_line_that_was_not_written_to_its_end_is_written_again_even_where_it_ends_within_a_letter()
    {
        Write();
        byte[] sound = File.ReadAllBytes(FilePath);
        File.WriteAllBytes(FilePath, [.. sound, .. "{\"run\":\"two\",\"texts\":[\""u8, 0xE6, 0x97]);
        using (var checkpoint = new CalibrationCheckpoint(FilePath, Identity))
            Assert.Equal(2, checkpoint.Count);
        Assert.Equal(sound, File.ReadAllBytes(FilePath));
    }

    [Theory]
    [InlineData("\"losses\":[0,", "\"losses\":[2,", "losses", "from 0 to 1", "damaged")]
    [InlineData("\"losses\":[0,", "\"losses\":[-1E-09,", "losses", "from 0 to 1", "damaged")]
    [InlineData("\"losses\":[0,", "\"losses\":[1e999,", "losses", "finite numbers", "1e999")]
    [InlineData("1E+300]", "1E+999]", "operations", "finite numbers", "1E+999")]
    [InlineData("\"operations\":[1,2,", "\"operations\":[1,", "operations", "five numbers")]
    [InlineData("\"meanExitLayer\":3.5", "\"meanExitLayer\":1e999", "meanExitLayer", "finite number")]
    [InlineData("\"run\":\"one\",", "", "run is missing")]
    public void A_damaged_line_is_refused_and_says_what_is_wrong(string part, string replacement, params string[] said)
    {
        Write();
        string text = File.ReadAllText(FilePath);
        Assert.Contains(part, text, StringComparison.Ordinal);
        text = text.Replace(part, replacement, StringComparison.Ordinal);
        File.WriteAllText(FilePath, text);
        string message = Refusal();
        Assert.All(said.Append(FilePath), words => Assert.Contains(words, message, StringComparison.Ordinal));
        Assert.Equal(text, File.ReadAllText(FilePath));
    }

    [Fact]
    public void A_byte_that_is_no_text_is_refused_with_its_line()
    {
        Write();
        byte[] bytes = File.ReadAllBytes(FilePath);
        bytes[bytes.AsSpan().IndexOf("depth"u8)] = 0xFF;
        File.WriteAllBytes(FilePath, bytes);
        Assert.Contains("line 2: it is not valid UTF-8", Refusal(), StringComparison.Ordinal);
        Assert.Equal(bytes, File.ReadAllBytes(FilePath));
    }

    [Fact]
    public void A_pipe_does_not_block()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "Windows has no pipes among its files.");
        using (var process = System.Diagnostics.Process.Start("mkfifo", [FilePath]))
            process.WaitForExit();
        Assert.Contains("a pipe or a device", Assert.Throws<IOException>(() => new CalibrationCheckpoint(FilePath, Identity)).Message, StringComparison.Ordinal);
    }

    private string Refusal() => Assert.Throws<InvalidDataException>(() => new CalibrationCheckpoint(FilePath, Identity)).Message;

    private void Write()
    {
        using var checkpoint = new CalibrationCheckpoint(FilePath, Identity);
        checkpoint.AddTexts("full depth", ["a", "日本 \u2028 ü"]);
        checkpoint.Add("one", new CandidateResult([0, 0.1 + 0.2, 1], 3.5, new MeanOperationCounts(1, 2, 3, 4, 1e300)));
    }
}
