using Microsoft.ML.EarlyExit.Conversion.Checkpoint;
using Microsoft.ML.EarlyExit.Model.Bundle;

namespace Microsoft.ML.EarlyExit.Conversion.Tests;

/// <summary>Where conversion may write, what it leaves behind, and what it says meanwhile.</summary>
public sealed class ConversionTests
{
    [Fact]
    public void A_target_that_exists_stays_as_it_is()
    {
        using var folder = new TemporaryFolder();
        string source = WriteSource(folder);
        string target = folder.File("bundle");
        T5Converter.Convert(source, target);
        byte[] manifest = File.ReadAllBytes(Path.Combine(target, BundleManifest.FileName));
        string message = Assert.Throws<IOException>(() => T5Converter.Convert(source, target)).Message;
        Assert.Contains(target, message);
        Assert.Contains("overwritten", message);
        Assert.Equal(manifest, File.ReadAllBytes(Path.Combine(target, BundleManifest.FileName)));
        AssertOnly(folder, "source", "bundle");
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_file_at_the_target_stays(bool overwrite)
    {
        using var folder = new TemporaryFolder();
        string source = WriteSource(folder);
        File.WriteAllText(folder.File("bundle"), "mine");
        Assert.Contains("is a file", Assert.Throws<IOException>(() => Convert(source, folder.File("bundle"), overwrite)).Message);
        Assert.Equal("mine", File.ReadAllText(folder.File("bundle")));
        AssertOnly(folder, "source", "bundle");
    }

    [Theory]
    [InlineData("notes.txt", "mine")]
    [InlineData("model.json", "{\"format\":\"layers-model\",\"weightsManifest\":[]}")]
    [InlineData("model.json", "{\"format\":7}")]
    [InlineData("model.json", "[\"Microsoft.ML.EarlyExit.Bundle\"]")]
    [InlineData("model.json", "mine")]
    [InlineData("model.json", "")]
    public void A_folder_that_is_no_bundle_is_never_overwritten(string file, string content)
    {
        using var folder = new TemporaryFolder();
        string source = WriteSource(folder);
        string target = folder.File("bundle");
        Directory.CreateDirectory(target);
        File.WriteAllText(Path.Combine(target, file), content);
        foreach (bool overwrite in (bool[])[true, false])
            Assert.Throws<IOException>(() => Convert(source, target, overwrite));
        Assert.Equal(content, File.ReadAllText(Path.Combine(target, file)));
        AssertOnly(folder, "source", "bundle");
    }

    [Fact]
    public void The_source_is_not_overwritten()
    {
        using var folder = new TemporaryFolder();
        string source = WriteSource(folder);
        Assert.Throws<IOException>(() => Convert(source, source, overwrite: true));
        using T5Checkpoint checkpoint = T5Checkpoint.Open(source);
    }

    [Fact]
    public void An_empty_folder_may_be_overwritten()
    {
        using var folder = new TemporaryFolder();
        string source = WriteSource(folder);
        Directory.CreateDirectory(folder.File("bundle"));
        Convert(source, folder.File("bundle"), overwrite: true);
        ModelBundle.Open(folder.File("bundle")).Dispose();
        AssertOnly(folder, "source", "bundle");
    }

    [Fact]
    public void Overwriting_replaces_all_of_a_bundle_also_of_a_damaged_one()
    {
        using var folder = new TemporaryFolder();
        string target = folder.File("bundle");
        T5Converter.Convert(ConvertedModels.Source("tiny-v10"), target);
        File.Delete(Path.Combine(target, "weights.bin"));
        File.WriteAllText(Path.Combine(target, "left.over"), "");
        string source = WriteSource(folder);

        // As users name folders.
        Convert(source, target + Path.DirectorySeparatorChar, overwrite: true);
        using (ModelBundle bundle = ModelBundle.Open(target))
            Assert.Equal(TinyCheckpoint.Sizes.VocabularySize, bundle.Configuration.VocabularySize);
        AssertOnly(folder, "source", "bundle");
    }

    [Fact]
    public void What_another_run_left_does_not_disturb()
    {
        using var folder = new TemporaryFolder();
        string source = WriteSource(folder);
        string target = folder.File("bundle");
        string partial = $"{target}.{Guid.NewGuid():N}.partial";
        Directory.CreateDirectory(partial);
        File.WriteAllText(Path.Combine(partial, "weights.bin"), "half");
        Convert(source, target, overwrite: false);
        Convert(source, target, overwrite: true);
        ModelBundle.Open(target).Dispose();
        AssertOnly(folder, "source", "bundle", Path.GetFileName(partial));
    }

    [Fact]
    public void Missing_parents_are_created()
    {
        using var folder = new TemporaryFolder();
        string source = WriteSource(folder);
        T5Converter.Convert(source, folder.File(Path.Combine("models", "t5", "bundle")));
        AssertOnly(folder, "source", "models");
        Assert.Equal([folder.File(Path.Combine("models", "t5"))], Directory.GetFileSystemEntries(folder.File("models")));
        Assert.Equal([folder.File(Path.Combine("models", "t5", "bundle"))], Directory.GetFileSystemEntries(folder.File(Path.Combine("models", "t5"))));
        AssertIsOf(source, folder.File(Path.Combine("models", "t5", "bundle")));
    }

    [Fact]
    public void A_relative_target_lies_in_the_working_folder()
    {
        using var folder = new TemporaryFolder();
        string source = WriteSource(folder);
        string target = Path.GetRelativePath(Environment.CurrentDirectory, folder.File("bundle"));
        T5Converter.Convert(source, target);
        AssertOnly(folder, "source", "bundle");
        AssertIsOf(source, folder.File("bundle"));
    }

    [Fact]
    public void A_parent_that_is_a_file_is_an_IO_error()
    {
        using var folder = new TemporaryFolder();
        string source = WriteSource(folder);
        File.WriteAllText(folder.File("file"), "");
        Assert.ThrowsAny<IOException>(() => T5Converter.Convert(source, folder.File(Path.Combine("file", "bundle"))));
        AssertOnly(folder, "source", "file");
    }

    [Fact]
    public void A_damaged_source_leaves_nothing()
    {
        using var folder = new TemporaryFolder();
        string source = WriteSource(folder);
        string weights = Path.Combine(source, "model.safetensors");
        byte[] bytes = File.ReadAllBytes(weights);
        foreach (int length in (int[])[0, 7, 100, bytes.Length / 2, bytes.Length - 1])
        {
            File.WriteAllBytes(weights, bytes[..length]);
            Assert.Contains(weights, Assert.Throws<InvalidModelException>(() => T5Converter.Convert(source, folder.File("bundle"))).Message);
        }

        File.WriteAllBytes(weights, bytes);
        File.WriteAllText(Path.Combine(source, "spiece.model"), "no vocabulary");
        Assert.Contains("spiece.model", Assert.Throws<InvalidModelException>(() => T5Converter.Convert(source, folder.File("bundle"))).Message);
        Directory.Delete(source, recursive: true);
        Assert.Throws<DirectoryNotFoundException>(() => T5Converter.Convert(source, folder.File("bundle")));
        Assert.Empty(Directory.EnumerateFileSystemEntries(folder.Path));
    }

    [Fact]
    public void A_failure_while_writing_leaves_nothing_and_the_old_bundle_in_place()
    {
        using var folder = new TemporaryFolder();
        string source = WriteSource(folder);
        string target = folder.File("bundle");
        foreach (double stopAt in (double[])[0, 0.5, 1])
        {
            var options = new T5ConversionOptions
            {
                Progress = new Listener(share => { if (share >= stopAt) throw new TimeoutException(); }),
                Overwrite = true,
            };
            Assert.Throws<TimeoutException>(() => T5Converter.Convert(source, target, options));
            if (stopAt < 1)
                AssertOnly(folder, "source");
        }

        T5Converter.Convert(source, target, new T5ConversionOptions { Overwrite = true });
        byte[] manifest = File.ReadAllBytes(Path.Combine(target, BundleManifest.FileName));
        T5ConversionOptions stopped = new() { Progress = new Listener(share => { if (share > 0.7) throw new TimeoutException(); }), Overwrite = true };
        Assert.Throws<TimeoutException>(() => T5Converter.Convert(source, target, stopped));
        AssertOnly(folder, "source", "bundle");
        Assert.Equal(manifest, File.ReadAllBytes(Path.Combine(target, BundleManifest.FileName)));
        ModelBundle.Open(target).Dispose();
    }

    [Theory]
    [InlineData(true, true)]
    [InlineData(false, false)]
    public void Progress_rises_to_1_and_ends_there(bool ownHead, bool gated)
    {
        using var folder = new TemporaryFolder();
        string source = folder.File("source");
        Directory.CreateDirectory(source);
        new TinyCheckpoint(TinyCheckpoint.Sizes with { GatedFeedForward = gated }, ownHead: ownHead).Write(source);
        var shares = new List<double>();
        T5Converter.Convert(source, folder.File("bundle"), new T5ConversionOptions { Progress = new Listener(shares.Add) });
        Assert.True(shares.Count > 10);
        Assert.All(shares, share => Assert.InRange(share, 0, 1));
        Assert.Equal(shares.Order(), shares);
        Assert.True(shares[0] < 0.1);
        Assert.True(shares[^3] < 1);
        Assert.Equal(1, shares[^1]);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Of_conversions_to_one_place_at_once_none_leaves_half_a_bundle(bool overwrite)
    {
        using var folder = new TemporaryFolder();
        string source = WriteSource(folder);
        string target = folder.File("bundle");
        if (overwrite)
            T5Converter.Convert(source, target);
        Exception?[] failures = await Task.WhenAll(Enumerable.Range(0, 6).Select(_ =>
            Task.Run(() => Record.Exception(() => Convert(source, target, overwrite)))));
        Assert.All(failures, failure => Assert.True(failure is null or IOException, $"{failure}"));
        Assert.Contains(null, failures);
        if (!overwrite)
            Assert.Single(failures, failure => failure is null);
        ModelBundle.Open(target).Dispose();
        AssertOnly(folder, "source", "bundle");
    }

    [Fact]
    public void A_bundle_the_disk_cannot_hold_is_not_begun()
    {
        if (!OperatingSystem.IsLinux())
            Assert.Skip("Only Linux is sure to have sparse files.");
        using var folder = new TemporaryFolder();
        T5Configuration configuration = TinyCheckpoint.Sizes with
        {
            VocabularySize = 1 << 22, ModelDimension = 1 << 16, DecoderLayerCount = 1, EncoderLayerCount = 1,
        };
        if (new DriveInfo(folder.Path).AvailableFreeSpace >= 1L << 40)
            Assert.Skip("The disk is too large.");
        SparseCheckpoint.Write(folder.File("source"), configuration);
        string message = Assert.Throws<IOException>(() => T5Converter.Convert(folder.File("source"), folder.File(Path.Combine("new", "bundle")))).Message;
        Assert.Contains("are free", message);
        AssertOnly(folder, "source");
    }

    [Fact]
    public void A_disk_that_fills_up_leaves_nothing()
    {
        using var folder = new TemporaryFolder();
        string source = ConvertedModels.Source("tiny-v10");
        foreach (double fillAt in (double[])[0, 0.5, 0.9])
        {
            using var mount = new TemporaryMount(16 << 20);
            var options = new T5ConversionOptions { Progress = new Listener(share => { if (share >= fillAt) Fill(mount.File("filler")); }) };
            Assert.ThrowsAny<IOException>(() => T5Converter.Convert(source, mount.File("bundle"), options));
            Assert.Equal(["filler"], Directory.EnumerateFileSystemEntries(mount.Path).Select(Path.GetFileName));
        }

        static void Fill(string path)
        {
            if (File.Exists(path))
                return;
            using var file = new FileStream(path, FileMode.CreateNew, FileAccess.Write, FileShare.None, bufferSize: 0);
            byte[] zeros = new byte[4096];
            try
            {
                while (true)
                    file.Write(zeros);
            }
            catch (IOException)
            {
                // Full.
            }
        }
    }

    [Fact]
    public void A_disk_too_small_from_the_start_is_told_so()
    {
        using var mount = new TemporaryMount(1 << 20);
        string message = Assert.Throws<IOException>(() => T5Converter.Convert(ConvertedModels.Source("tiny-v10"), mount.File("bundle"))).Message;
        Assert.Contains("are free", message);
        Assert.Empty(Directory.EnumerateFileSystemEntries(mount.Path));
    }

    [Fact]
    public void A_read_only_disk_is_an_IO_error()
    {
        using var mount = new TemporaryMount(16 << 20);
        Assert.True(mount.MakeReadOnly());
        Assert.ThrowsAny<IOException>(() => T5Converter.Convert(ConvertedModels.Source("tiny-v10"), mount.File("bundle")));
        Assert.Empty(Directory.EnumerateFileSystemEntries(mount.Path));
    }

    [Fact]
    public void A_parent_that_may_not_be_written_to_is_an_access_error()
    {
        if (OperatingSystem.IsWindows() || Environment.IsPrivilegedProcess)
        {
            Assert.Skip("Permissions do not bind this user, or are others on Windows.");
            return;
        }

        using var folder = new TemporaryFolder();
        string parent = folder.File("parent");
        Directory.CreateDirectory(parent, UnixFileMode.UserRead | UnixFileMode.UserExecute);
        Assert.Throws<UnauthorizedAccessException>(() => T5Converter.Convert(ConvertedModels.Source("tiny-v10"), Path.Combine(parent, "bundle")));
        Assert.Empty(Directory.EnumerateFileSystemEntries(parent));
    }

    private static void Convert(string source, string target, bool overwrite) =>
        T5Converter.Convert(source, target, new T5ConversionOptions { Overwrite = overwrite });

    private static string WriteSource(TemporaryFolder folder)
    {
        string source = folder.File("source");
        Directory.CreateDirectory(source);
        new TinyCheckpoint().Write(source);
        return source;
    }

    private static void AssertIsOf(string source, string target)
    {
        using T5Checkpoint checkpoint = T5Checkpoint.Open(source);
        using ModelBundle bundle = ModelBundle.Open(target);
        Assert.Equal(checkpoint.Configuration, bundle.Configuration);
    }

    private static void AssertOnly(TemporaryFolder folder, params string[] names) =>
        Assert.Equal(
            names.Order(StringComparer.Ordinal), Directory.EnumerateFileSystemEntries(folder.Path).Select(Path.GetFileName).Order(StringComparer.Ordinal));

    private sealed class Listener(Action<double> report) : IProgress<double>
    {
        public void Report(double value) => report(value);
    }
}
