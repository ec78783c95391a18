using System.Diagnostics;
using System.Text;
using Microsoft.ML.EarlyExit.Files;

namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>What stands in a file's place is found out before it can block or fill memory.</summary>
public sealed class RegularFileTests : IDisposable
{
    /// <summary>Far more than anything here takes, unless it blocks.</summary>
    private static readonly TimeSpan s_limit = TimeSpan.FromMinutes(2);

    private readonly TemporaryFolder _folder = new(Path.GetTempPath());

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void A_file_is_read_also_behind_links()
    {
        string file = Write("file", "content");
        Assert.Equal("content", Encoding.UTF8.GetString(RegularFile.Read(file, 7)));
        File.CreateSymbolicLink(At("link"), "file");
        File.CreateSymbolicLink(At("twice"), At("link"));
        Assert.Equal("content", Encoding.UTF8.GetString(RegularFile.Read(At("twice"), 7)));
        using FileStream stream = RegularFile.Open(At("twice"));
        Assert.Equal(7, stream.Length);
        Assert.Equal("content", new StreamReader(stream).ReadToEnd());
    }

    [Fact]
    public void More_than_the_limit_is_refused_before_it_is_read()
    {
        using (FileStream sparse = File.Create(At("sparse")))
            sparse.SetLength(1L << 40);
        Assert.Contains("larger than", Refused("sparse"));
    }

    [Fact]
    public void A_folder_a_missing_file_and_an_empty_one_are_named()
    {
        Directory.CreateDirectory(At("folder"));
        Assert.Contains("is a folder", Refused("folder"));
        Write("empty", "");
        Assert.Contains("is empty", Refused("empty"));
        Assert.Contains(At("none"), Assert.Throws<FileNotFoundException>(() => RegularFile.Read(At("none"), 9)).Message);
        File.CreateSymbolicLink(At("nowhere"), "none");
        Assert.Contains(At("nowhere"), Assert.Throws<FileNotFoundException>(() => RegularFile.Read(At("nowhere"), 9)).Message);
    }

    [Fact]
    public Task A_pipe_or_a_device_neither_blocks_nor_is_read() => Task.Run(() =>
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "Windows has no pipes or devices among its files.");
        MakePipe("pipe");
        File.CreateSymbolicLink(At("to-pipe"), "pipe");
        File.CreateSymbolicLink(At("to-zero"), "/dev/zero");
        File.CreateSymbolicLink(At("to-null"), "/dev/null");
        foreach (string name in (string[])["pipe", "to-pipe", "to-zero", "to-null"])
            Assert.Contains("no regular file", Refused(name));
    }).WaitAsync(s_limit, TestContext.Current.CancellationToken);

    /// <summary>A pipe takes a file's place again and again while it is being opened.</summary>
    [Fact]
    public async Task A_pipe_that_is_put_in_the_file_s_place_meanwhile_does_not_block()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "Windows has no pipes among its files.");
        Write("file", "content");
        MakePipe("pipe");
        File.CreateSymbolicLink(At("place"), "file");
        using var stopped = new CancellationTokenSource();
        Task swapping = Task.Run(() =>
        {
            for (int turn = 0; !stopped.IsCancellationRequested; turn++)
            {
                File.CreateSymbolicLink(At("next"), turn % 2 == 0 ? "pipe" : "file");
                File.Move(At("next"), At("place"), overwrite: true);
            }
        });
        int read = await Task.Run(() =>
        {
            int count = 0;
            for (int attempt = 0; attempt < 2_000; attempt++)
            {
                try
                {
                    count += Encoding.UTF8.GetString(RegularFile.Read(At("place"), 9)) == "content" ? 1 : 0;
                }
                catch (InvalidModelException)
                {
                }
            }

            return count;
        }).WaitAsync(s_limit, TestContext.Current.CancellationToken);
        stopped.Cancel();
        await swapping;
        Assert.True(read > 0);
    }

    private string At(string name) => Path.Combine(_folder.Path, name);

    private string Write(string name, string content)
    {
        File.WriteAllText(At(name), content);
        return At(name);
    }

    private string Refused(string name)
    {
        string message = Assert.Throws<InvalidModelException>(() => RegularFile.Read(At(name), 1 << 20)).Message;
        Assert.Contains(At(name), message);
        return message;
    }

    private void MakePipe(string name)
    {
        using Process process = Process.Start("mkfifo", [At(name)]);
        process.WaitForExit();
    }
}
