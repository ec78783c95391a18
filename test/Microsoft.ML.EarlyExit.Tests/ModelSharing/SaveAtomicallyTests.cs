using System.Diagnostics;
using Google.Protobuf;
using Microsoft.ML.Data;
using Microsoft.ML.EarlyExit.Conversion;
using Microsoft.ML.EarlyExit.Files;
using Microsoft.ML.EarlyExit.Tests.Tokenization;

namespace Microsoft.ML.EarlyExit.Tests;

public sealed class SaveAtomicallyTests : IDisposable
{
    private static readonly TimeSpan s_patience = TimeSpan.FromMinutes(1);
    private static readonly Lazy<TemporaryFolder> s_bundle = new(ConvertOnce);

    private readonly TemporaryFolder _folder = new(Path.GetTempPath());
    private readonly MLContext _context = new();
    private readonly TextGenerationTransformer _model;

    public SaveAtomicallyTests()
    {
        Directory.CreateDirectory(Models);
        _model = Fit(maxNewTokens: 8);
    }

    // A folder of their own, so that litter would show.
    private string Models => Path.Combine(_folder.Path, "models");

    private string Zip => Path.Combine(Models, "model.zip");

    private string Temporary => Directory.CreateDirectory(Path.Combine(_folder.Path, "temporary")).FullName;

    private IDataView Data => _context.Data.LoadFromEnumerable(DemoRow.Create(3));

    public void Dispose()
    {
        _model.Dispose();
        _folder.Dispose();
    }

    [Fact]
    public void What_is_saved_is_what_ml_net_saves()
    {
        string plain = Path.Combine(_folder.Path, "plain.zip");
        _context.Model.Save(_model, Data.Schema, plain);

        _context.Model.SaveAtomically(_model, Data.Schema, Zip);

        Assert.Equal([Zip], Directory.GetFileSystemEntries(Models));
        Assert.Equal(new FileInfo(plain).Length, new FileInfo(Zip).Length);
        Assert.Equal(Generate(_model), LoadAndGenerate(Zip));
        Assert.Equal(LoadAndGenerate(plain), LoadAndGenerate(Zip));
        _context.Model.Load(Zip, out DataViewSchema schema);
        Assert.Equal(Data.Schema.Select(column => (column.Name, column.Type)), schema.Select(column => (column.Name, column.Type)));
    }

    [Fact]
    public void Any_transformer_is_saved_with_and_without_a_schema()
    {
        ITransformer words = _context.Transforms.Text.TokenizeIntoWords("Words", "Prompt").Fit(Data);

        _context.Model.SaveAtomically(words, null, Zip);

        ITransformer loaded = _context.Model.Load(Zip, out DataViewSchema? schema);
        Assert.Null(schema);
        Assert.Equal(words.Transform(Data).GetColumn<string[]>("Words"), loaded.Transform(Data).GetColumn<string[]>("Words"));
    }

    [Fact]
    public void A_path_may_be_relative()
    {
        _context.Model.SaveAtomically(_model, Data.Schema, Path.GetRelativePath(Environment.CurrentDirectory, Zip));

        Assert.Equal(Generate(_model), LoadAndGenerate(Zip));
    }

    [Fact]
    public void Who_reads_the_old_file_goes_on_reading_it()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "Windows does not replace a file in use.");
        _context.Model.SaveAtomically(_model, Data.Schema, Zip);
        byte[] old = File.ReadAllBytes(Zip);
        using FileStream reader = File.OpenRead(Zip);
        byte[] read = new byte[old.Length];
        reader.ReadExactly(read, 0, old.Length / 2);

        using TextGenerationTransformer other = Fit(maxNewTokens: 3);
        _context.Model.SaveAtomically(other, Data.Schema, Zip);

        reader.ReadExactly(read, old.Length / 2, old.Length - (old.Length / 2));
        Assert.Equal(old, read);
        Assert.NotEqual(Generate(_model), Generate(other));
        Assert.Equal(Generate(other), LoadAndGenerate(Zip));
    }

    [Fact]
    public void A_transformer_that_fails_in_the_middle_leaves_the_old_file_and_nothing_else()
    {
        _context.Model.SaveAtomically(_model, Data.Schema, Zip);
        byte[] old = File.ReadAllBytes(Zip);

        Exception exception = Assert.ThrowsAny<Exception>(() =>
            _context.Model.SaveAtomically(new TransformerChain<ITransformer>(_model, new UnsavableTransformer()), Data.Schema, Zip));

        Assert.Equal(UnsavableTransformer.Message, exception.GetBaseException().Message);
        Assert.Equal([Zip], Directory.GetFileSystemEntries(Models));
        Assert.Equal(old, File.ReadAllBytes(Zip));
    }

    [Fact]
    public void A_disposed_transformer_leaves_the_old_file_and_nothing_else()
    {
        _context.Model.SaveAtomically(_model, Data.Schema, Zip);
        byte[] old = File.ReadAllBytes(Zip);
        TextGenerationTransformer disposed = Fit(maxNewTokens: 3);
        disposed.Dispose();

        Assert.Throws<ObjectDisposedException>(() => _context.Model.SaveAtomically(disposed, Data.Schema, Zip));

        Assert.Equal([Zip], Directory.GetFileSystemEntries(Models));
        Assert.Equal(old, File.ReadAllBytes(Zip));
    }

    [Fact]
    public void A_first_save_that_fails_leaves_nothing()
    {
        Assert.ThrowsAny<Exception>(() => _context.Model.SaveAtomically(new UnsavableTransformer(), Data.Schema, Zip));

        Assert.Empty(Directory.GetFileSystemEntries(Models));
    }

    [Fact]
    public void Savers_of_one_path_do_not_disturb_each_other_nor_readers()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "Windows does not replace a file in use.");
        string expected = Generate(_model);
        _context.Model.SaveAtomically(_model, Data.Schema, Zip);

        Parallel.For(0, 12, new ParallelOptions { MaxDegreeOfParallelism = 4 }, turn =>
        {
            if (turn % 2 == 0)
                _context.Model.SaveAtomically(_model, Data.Schema, Zip);
            else
                Assert.Equal(expected, LoadAndGenerate(Zip));
        });

        Assert.Equal([Zip], Directory.GetFileSystemEntries(Models));
        Assert.Equal(expected, LoadAndGenerate(Zip));
    }

    [Theory]
    [InlineData(UnixFileMode.UserRead | UnixFileMode.UserWrite)]
    [InlineData(
        UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.GroupRead | UnixFileMode.GroupWrite | UnixFileMode.OtherRead | UnixFileMode.OtherWrite)]
    public void A_replaced_file_keeps_its_mode(UnixFileMode mode)
    {
        if (OperatingSystem.IsWindows())
        {
            Assert.Skip("Windows has no such modes.");
            return;
        }

        _context.Model.SaveAtomically(_model, Data.Schema, Zip);
        string plain = Path.Combine(_folder.Path, "plain");
        File.Create(plain).Dispose();
        Assert.Equal(File.GetUnixFileMode(plain), File.GetUnixFileMode(Zip));
        File.SetUnixFileMode(Zip, mode);

        _context.Model.SaveAtomically(_model, Data.Schema, Zip);

        Assert.Equal(mode, File.GetUnixFileMode(Zip));
        Assert.Equal(Generate(_model), LoadAndGenerate(Zip));
    }

    [Fact]
    public void A_write_protected_file_is_replaced_only_by_who_may_write_it()
    {
        _context.Model.SaveAtomically(_model, Data.Schema, Zip);
        File.SetAttributes(Zip, FileAttributes.ReadOnly);
        Exception? plain = Record.Exception(() => _context.Model.Save(_model, Data.Schema, Zip));

        Exception? exception = Record.Exception(() => _context.Model.SaveAtomically(_model, Data.Schema, Zip));

        // Null for an administrator on Unix.
        Assert.Equal(plain?.GetType(), exception?.GetType());
        File.SetAttributes(Zip, FileAttributes.Normal);
        Assert.Equal([Zip], Directory.GetFileSystemEntries(Models));
    }

    [Fact]
    public void A_link_stays_and_its_target_is_replaced()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "Windows lets only some users make links.");
        string link = Path.Combine(_folder.Path, "current.zip");
        File.CreateSymbolicLink(link, Path.Combine("models", "model.zip"));
        _context.Model.SaveAtomically(_model, Data.Schema, link);
        Assert.Equal(Generate(_model), LoadAndGenerate(Zip));
        using TextGenerationTransformer other = Fit(maxNewTokens: 3);

        _context.Model.SaveAtomically(other, Data.Schema, link);

        Assert.Equal(Path.Combine("models", "model.zip"), new FileInfo(link).LinkTarget);
        Assert.Equal([Zip], Directory.GetFileSystemEntries(Models));
        Assert.Equal(Generate(other), LoadAndGenerate(Zip));
    }

    [Fact]
    public void Impossible_places_are_refused()
    {
        Assert.Throws<ArgumentNullException>("catalog", () => ModelSavingCatalog.SaveAtomically(null!, _model, Data.Schema, Zip));
        Assert.Throws<ArgumentNullException>("model", () => _context.Model.SaveAtomically(null!, Data.Schema, Zip));
        Assert.Throws<ArgumentNullException>("filePath", () => _context.Model.SaveAtomically(_model, Data.Schema, null!));
        Assert.Throws<ArgumentException>("filePath", () => _context.Model.SaveAtomically(_model, Data.Schema, ""));
        string missing = Path.Combine(_folder.Path, "missing", "model.zip");
        Assert.Contains(missing, Refuse<DirectoryNotFoundException>(missing), StringComparison.Ordinal);
        Assert.Contains("is a folder", Refuse<IOException>(_folder.Path), StringComparison.Ordinal);
        if (OperatingSystem.IsLinux())
            Assert.Contains("is a device", Refuse<IOException>("/dev/null"), StringComparison.Ordinal);
        Assert.Equal([Models], Directory.GetFileSystemEntries(_folder.Path));
        Assert.Empty(Directory.GetFileSystemEntries(Models));

        string Refuse<T>(string path)
            where T : Exception =>
            Assert.Throws<T>(() => _context.Model.SaveAtomically(_model, Data.Schema, path)).Message;
    }

    [Fact]
    public async Task A_process_killed_at_any_moment_of_a_save_leaves_a_whole_file()
    {
        string expected = Generate(_model);
        _context.Model.SaveAtomically(_model, Data.Schema, Zip);
        long length = new FileInfo(Zip).Length;
        int killedMeanwhile = 0;
        foreach (double part in (double[])[0, 0.2, 0.5, 0.7, 0.9])
        {
            using (Process process = StartSaving())
            {
                try
                {
                    await WaitForPartial(process, part * length);
                }
                finally
                {
                    process.Kill();
                }

                await process.WaitForExitAsync(TestContext.Current.CancellationToken);
            }

            // What the process before it left it has deleted.
            Assert.Single(Directory.GetDirectories(Temporary, "early-exit-*"));
            Assert.Equal(expected, LoadAndGenerate(Zip));
            foreach (string partial in Directory.GetFiles(Models, "model.zip.*.partial"))
            {
                killedMeanwhile++;
                File.Delete(partial);
            }

            Assert.Equal([Zip], Directory.GetFileSystemEntries(Models));
        }

        Assert.NotEqual(0, killedMeanwhile);
    }

    /// <summary>Returns while a process is writing and has written so much.</summary>
    private async Task WaitForPartial(Process process, double length)
    {
        for (var watch = Stopwatch.StartNew(); watch.Elapsed < s_patience;)
        {
            Assert.False(process.HasExited, "The saving process has ended.");
            try
            {
                if (new DirectoryInfo(Models).EnumerateFiles("*.partial").Any(file => file.Length >= length))
                    return;
            }
            catch (FileNotFoundException)
            {
                // Moved to its place between the two looks.
            }

            await Task.Yield();
        }

        Assert.Fail("The process saved nothing.");
    }

    private Process StartSaving()
    {
        // The same configuration as this test's: …/bin/Release/net10.0.
        string configuration = Path.GetFileName(Path.GetDirectoryName(Path.TrimEndingDirectorySeparator(AppContext.BaseDirectory)))!;
        string program = Path.Combine(Repository.Folder, "test", "SavingProcess", "bin", configuration, "net10.0", "SavingProcess.dll");

        // What a killed process has unpacked goes with this test's folder.
        return Process.Start(new ProcessStartInfo("dotnet", [program, Zip]) { Environment = { ["TMPDIR"] = Temporary, ["TMP"] = Temporary } })!;
    }

    private string LoadAndGenerate(string zip)
    {
        ITransformer loaded = new MLContext().Model.Load(zip, out _);
        using var disposable = (IDisposable)loaded;
        return Generate(loaded);
    }

    private string Generate(ITransformer model) => string.Join('\n', model.Transform(Data).GetColumn<string>("Text"));

    private TextGenerationTransformer Fit(int maxNewTokens)
    {
        var options = new TextGenerationOptions { MaxNewTokens = maxNewTokens, MinNewTokens = maxNewTokens };
        return _context.Transforms.Text.GenerateText("Text", "Prompt", s_bundle.Value.Path, options).Fit(Data);
    }

    /// <summary>The smallest model, with a vocabulary, so that it generates from text; saving it takes no time.</summary>
    private static TemporaryFolder ConvertOnce()
    {
        using var checkpoint = new TemporaryFolder(Path.GetTempPath());
        foreach (string file in Directory.GetFiles(TestModels.Checkpoint(TestModels.Exits)))
            File.Copy(file, Path.Combine(checkpoint.Path, Path.GetFileName(file)));
        IEnumerable<string> characters = Enumerable.Range('!', '~' - '!').Select(character => ((char)character).ToString());
        string[] pieces = [.. characters, .. Enumerable.Range(0, 900).Select(number => $"▁{number}")];
        File.WriteAllBytes(Path.Combine(checkpoint.Path, "spiece.model"), TinyVocabulary.Create(pieces).ToByteArray());
        var bundle = new TemporaryFolder(Path.GetTempPath());
        T5Converter.Convert(checkpoint.Path, bundle.Path, new T5ConversionOptions { Overwrite = true });
        return bundle;
    }
}
