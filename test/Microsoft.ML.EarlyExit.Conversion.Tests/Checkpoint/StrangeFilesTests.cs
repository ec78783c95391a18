using System.Diagnostics;
using System.Text;

namespace Microsoft.ML.EarlyExit.Conversion.Tests;

/// <summary>Pipes, devices, folders and links in the place of a checkpoint's files, and JSON of other encodings.</summary>
public sealed class StrangeFilesTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public StrangeFilesTests()
    {
        Directory.CreateDirectory(Source);
        foreach (string path in Directory.GetFiles(ConvertedModels.Source("t5-restaurants")))
            File.Copy(path, At(Path.GetFileName(path)));
    }

    public static TheoryData<string> Files => ["config.json", "generation_config.json", "spiece.model", "model.safetensors"];

    private string Source => _folder.File("source");

    public void Dispose() => _folder.Dispose();

    [Theory]
    [MemberData(nameof(Files))]
    public async Task A_pipe_a_device_or_a_folder_is_refused_by_name_and_blocks_nothing(string name)
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "Windows has no pipes or devices among its files.");
        using (Process process = Process.Start("mkfifo", [_folder.File("pipe")]))
            process.WaitForExit();
        foreach (string target in (string[])[_folder.File("pipe"), "/dev/zero", "/dev/null"])
        {
            File.Delete(At(name));
            File.CreateSymbolicLink(At(name), target);
            Assert.Contains("no regular file", await RefusedAsync(name), StringComparison.Ordinal);
        }

        File.Delete(At(name));
        Directory.CreateDirectory(At(name));
        Assert.Contains("is a folder", await RefusedAsync(name), StringComparison.Ordinal);
    }

    [Fact]
    public void A_checkpoint_of_links_and_marks_is_converted_as_if_there_were_none()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "Links need a privilege on Windows.");
        T5Converter.Convert(Source, _folder.File("plain"));
        foreach (string name in (string[])["config.json", "generation_config.json"])
            File.WriteAllBytes(At(name), [.. Encoding.UTF8.Preamble, .. File.ReadAllBytes(At(name))]);
        foreach (string path in Directory.GetFiles(Source))
        {
            File.Move(path, _folder.File(Path.GetFileName(path)));
            File.CreateSymbolicLink(path, _folder.File(Path.GetFileName(path)));
        }

        T5Converter.Convert(Source, _folder.File("linked"));
        Assert.Equal(
            File.ReadAllBytes(Path.Combine(_folder.File("plain"), "model.json")),
            File.ReadAllBytes(Path.Combine(_folder.File("linked"), "model.json")));
    }

    [Fact]
    public async Task A_value_that_is_not_UTF_8_is_refused_with_its_line()
    {
        File.WriteAllBytes(At("config.json"), [.. "{\n\"model_type\": \""u8, 0xFF, .. "\"}"u8]);
        Assert.Contains("line 2: it is not valid UTF-8", await RefusedAsync("config.json"), StringComparison.Ordinal);
        File.WriteAllBytes(At("config.json"), [.. Encoding.Unicode.GetPreamble(), .. Encoding.Unicode.GetBytes("{}")]);
        Assert.Contains("line 1: it is not valid UTF-8", await RefusedAsync("config.json"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task What_is_no_JSON_is_told_in_words()
    {
        File.WriteAllText(At("config.json"), "{\n\"model_type\": \"t5\",\n}");
        string message = await RefusedAsync("config.json");
        Assert.Contains("a comma stands before a closing bracket; remove it (line 3, byte 1)", message, StringComparison.Ordinal);
        Assert.DoesNotContain("reader options", message, StringComparison.Ordinal);
    }

    private string At(string name) => Path.Combine(Source, name);

    private async Task<string> RefusedAsync(string name)
    {
        InvalidModelException exception = await Assert.ThrowsAsync<InvalidModelException>(() =>
            Task.Run(() => T5Converter.Convert(Source, _folder.File("bundle"))).WaitAsync(TimeSpan.FromMinutes(2), TestContext.Current.CancellationToken));
        Assert.Contains(At(name), exception.Message, StringComparison.Ordinal);
        return exception.Message;
    }
}
