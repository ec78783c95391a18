using System.Diagnostics;
using System.Globalization;
using Microsoft.ML.EarlyExit.Files;

namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>Unpacked models that a killed process left go with the next one, and nothing else does.</summary>
public sealed class TemporaryFolderTests : IDisposable
{
    private readonly TemporaryFolder _parent = new(Path.GetTempPath());

    public void Dispose() => _parent.Dispose();

    [Fact]
    public void What_a_dead_process_left_is_deleted()
    {
        string left = Leave(Dead());
        using var folder = new TemporaryFolder(_parent.Path);
        Assert.Equal([folder.Path], Directory.GetDirectories(_parent.Path));
        Assert.False(File.Exists(left + ".lock"));
    }

    [Fact]
    public void A_lock_whose_folder_was_never_made_is_deleted()
    {
        string left = Leave(Dead());
        Directory.Delete(left, recursive: true);
        new TemporaryFolder(_parent.Path).Dispose();
        Assert.Empty(Directory.GetFileSystemEntries(_parent.Path));
    }

    [Fact]
    public void The_folder_of_a_living_process_stays()
    {
        using var mine = new TemporaryFolder(_parent.Path);
        using var process = Process.GetCurrentProcess();
        string living = Leave(Lock(Environment.MachineName, Environment.ProcessId, process.StartTime));
        string elsewhere = Leave(Lock("another-machine", int.MaxValue, process.StartTime));
        string unknown = Leave("");
        string unreadable = Leave("x\ny\nz\n");
        new TemporaryFolder(_parent.Path).Dispose();
        Assert.All((string[])[mine.Path, living, elsewhere, unknown, unreadable], path => Assert.True(Directory.Exists(path), path));
    }

    [Fact]
    public void A_lock_that_is_held_protects_its_folder_whatever_it_says()
    {
        string left = Leave(Dead());
        using (new FileStream(left + ".lock", FileMode.Open, FileAccess.ReadWrite, FileShare.None))
            new TemporaryFolder(_parent.Path).Dispose();
        Assert.True(Directory.Exists(left));
        new TemporaryFolder(_parent.Path).Dispose();
        Assert.False(Directory.Exists(left));
    }

    [Fact]
    public void An_id_that_another_process_has_by_now_is_a_dead_one_s()
    {
        string left = Leave(Lock(Environment.MachineName, Environment.ProcessId, DateTime.Now.AddDays(-1)));
        new TemporaryFolder(_parent.Path).Dispose();
        Assert.False(Directory.Exists(left));
    }

    [Fact]
    public void Links_and_folders_of_other_names_stay_and_so_does_what_they_lead_to()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "Links need a privilege on Windows.");
        string target = Directory.CreateDirectory(Path.Combine(_parent.Path, "target")).FullName;
        File.WriteAllText(Path.Combine(target, "precious"), "x");
        string link = Path.Combine(_parent.Path, $"early-exit-{Guid.NewGuid():N}");
        Directory.CreateSymbolicLink(link, target);
        File.WriteAllText(link + ".lock", Dead());
        string linkedLock = Leave(Dead());
        File.Move(linkedLock + ".lock", Path.Combine(_parent.Path, "lock"));
        File.CreateSymbolicLink(linkedLock + ".lock", Path.Combine(_parent.Path, "lock"));
        string other = Directory.CreateDirectory(Path.Combine(_parent.Path, "early-exit-mine")).FullName;
        File.WriteAllText(other + ".lock", Dead());
        new TemporaryFolder(_parent.Path).Dispose();
        Assert.True(File.Exists(Path.Combine(target, "precious")));
        Assert.All((string[])[link, linkedLock, other], path => Assert.True(Directory.Exists(path), path));
    }

    [Fact]
    public void Many_at_once_do_not_disturb_each_other()
    {
        string dead = Dead();
        for (int i = 0; i < 20; i++)
            Leave(dead);
        Parallel.For(0, 32, _ =>
        {
            using var folder = new TemporaryFolder(_parent.Path);
            File.WriteAllText(Path.Combine(folder.Path, "file"), "x");
            using var second = new TemporaryFolder(_parent.Path);
            Assert.True(File.Exists(Path.Combine(folder.Path, "file")));
        });
        new TemporaryFolder(_parent.Path).Dispose();
        Assert.Empty(Directory.GetFileSystemEntries(_parent.Path));
    }

    private static string Lock(string machine, int process, DateTime start) =>
        string.Create(CultureInfo.InvariantCulture, $"{machine}\n{process}\n{start.ToUniversalTime().Ticks}\n");

    /// <summary>What the lock of a process says that has ended.</summary>
    private static string Dead()
    {
        using Process process = Process.Start(new ProcessStartInfo("dotnet", ["--version"]) { RedirectStandardOutput = true })!;
        DateTime start = process.StartTime;
        process.WaitForExit();
        return Lock(Environment.MachineName, process.Id, start);
    }

    private string Leave(string content)
    {
        string folder = Path.Combine(_parent.Path, $"early-exit-{Guid.NewGuid():N}");
        Directory.CreateDirectory(folder);
        File.WriteAllText(Path.Combine(folder, "weights.bin"), "x");
        File.WriteAllText(folder + ".lock", content);
        return folder;
    }
}
