using System.IO.Compression;
using System.Runtime.CompilerServices;
using Microsoft.ML.Data;
using Microsoft.ML.EarlyExit.Files;

namespace Microsoft.ML.EarlyExit.Tests;

[Collection("Native memory")]
public sealed class SharedModelTests : IDisposable
{
    private static readonly TextGenerationOptions s_options = new() { Prefix = "describe: ", MaxNewTokens = 6, BatchSize = 2 };

    private readonly TemporaryFolder _folder = new(Path.GetTempPath());
    private readonly MLContext _context = new();
    private readonly List<string> _infos = [];

    public SharedModelTests()
    {
        _context.Log += (_, log) =>
        {
            if (log.Kind == Microsoft.ML.Runtime.ChannelMessageKind.Info)
                _infos.Add(log.RawMessage);
        };
    }

    private string Zip => Path.Combine(_folder.Path, "model.zip");

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Transforms_of_one_bundle_share_one_model_until_the_last_is_disposed()
    {
        IDataView data = Load();
        TextGenerationTransformer first = Fit("A", s_options, TestModels.Bundle(TestModels.Demo), data);
        TextGenerationTransformer second = Fit("B", s_options with { MaxNewTokens = 3 }, CopyBundle("copy"), data);
        using TextGenerationTransformer other = _context.Transforms.Text.GenerateText(new()
        {
            OutputColumnName = "C",
            InputColumnName = "Prompt",
            ModelPath = TestModels.Bundle(TestModels.Demo),
            ModelOptions = new EarlyExitModelOptions { ThreadCount = 1 },
            GenerationOptions = s_options,
        }).Fit(data);

        Assert.Same(first.Model, second.Model);
        Assert.NotSame(first.Model, other.Model);
        Assert.Equal(["Loaded", "Shares", "Loaded"], _infos.Select(message => message.Split(' ')[0]));
        string[] expected = [.. other.Transform(data).GetColumn<string>("C")];

        first.Dispose();
        first.Dispose();
        Assert.Equal(3, second.Transform(data).GetColumn<string>("B").Count());
        EarlyExitModel model = second.Model;
        second.Dispose();
        Assert.Throws<ObjectDisposedException>(() => model.Generate("name[Zizzi]", s_options, TestContext.Current.CancellationToken));

        // Loaded anew.
        using TextGenerationTransformer again = Fit("A", s_options, TestModels.Bundle(TestModels.Demo), data);
        Assert.NotSame(model, again.Model);
        Assert.Equal(expected, again.Transform(data).GetColumn<string>("A"));
    }

    [Fact]
    public void A_model_whose_weights_file_was_touched_is_not_shared_but_loaded_again()
    {
        IDataView data = Load();
        string bundle = CopyBundle("touched");
        using TextGenerationTransformer first = Fit("A", s_options, bundle, data);
        string[] expected = [.. first.Transform(data).GetColumn<string>("A")];
        File.SetLastWriteTimeUtc(Path.Combine(bundle, "weights.bin"), DateTime.UtcNow.AddSeconds(5));
        Assert.Throws<InvalidModelException>(() => first.Transform(data).GetColumn<string>("A").Count());
        using TextGenerationTransformer second = Fit("A", s_options, bundle, data);
        Assert.Equal(expected, second.Transform(data).GetColumn<string>("A"));
    }

    [Fact]
    public void Models_nobody_disposed_are_collected()
    {
        WeakReference model = FitAndForget();
        for (int round = 0; round < 5 && model.IsAlive; round++)
        {
            GC.Collect();
            GC.WaitForPendingFinalizers();
        }

        Assert.False(model.IsAlive);
    }

    [Fact]
    public void A_pipeline_of_several_transforms_is_saved_with_one_bundle_and_loaded_with_one_model()
    {
        IDataView data = Load();
        var pipeline = _context.Transforms.Text.GenerateText("A", "Prompt", TestModels.Bundle(TestModels.Demo), s_options)
            .Append(_context.Transforms.CopyColumns("Copy", "A"))
            .Append(_context.Transforms.Text.GenerateText(
                "B", "Copy", TestModels.Bundle(TestModels.Demo), s_options with { Exit = new ExitPolicy { StaticExitLayer = 6 } }));
        string[][] expected;
        using (var fitted = pipeline.Fit(data))
        {
            IDataView output = fitted.Transform(data);
            expected = [[.. output.GetColumn<string>("A")], [.. output.GetColumn<string>("B")]];
            _context.Model.Save(fitted, data.Schema, Zip);
        }

        using (ZipArchive archive = ZipFile.OpenRead(Zip))
            Assert.Single(archive.Entries, entry => entry.Name == "weights.bin");
        string temporary = Directory.CreateDirectory(Path.Combine(_folder.Path, "temporary")).FullName;
        ITransformer loaded = new MLContext { TempFilePath = temporary }.Model.Load(Zip, out _);
        Assert.Single(Directory.GetDirectories(temporary));
        TextGenerationTransformer[] parts = [.. ((IEnumerable<ITransformer>)loaded).OfType<TextGenerationTransformer>()];
        Assert.Same(parts[0].Model, parts[1].Model);
        Assert.Equal(expected, [[.. loaded.Transform(data).GetColumn<string>("A")], [.. loaded.Transform(data).GetColumn<string>("B")]]);

        // The part without the bundle, saved alone, takes it along.
        string alone = Path.Combine(_folder.Path, "alone.zip");
        _context.Model.Save(parts[1], null, alone);
        ((IDisposable)loaded).Dispose();
        Assert.Empty(Directory.GetDirectories(temporary));
        using var part = (TextGenerationTransformer)_context.Model.Load(alone, out _);
        Assert.Equal(6, part.GenerationOptions.Exit!.StaticExitLayer);
    }

    [Fact]
    public void By_reference_only_the_path_is_saved()
    {
        IDataView data = Load();
        string bundle = CopyBundle("moved");
        string[] expected;
        using (TextGenerationTransformer fitted = FitByReference(bundle, data))
        {
            expected = [.. fitted.Transform(data).GetColumn<string>("Text")];
            _context.Model.Save(fitted, data.Schema, Zip);
        }

        Assert.InRange(new FileInfo(Zip).Length, 1, 20_000);
        string again = Path.Combine(_folder.Path, "again.zip");
        using (var loaded = (TextGenerationTransformer)_context.Model.Load(Zip, out DataViewSchema schema))
        {
            Assert.Equal(expected, loaded.Transform(data).GetColumn<string>("Text"));
            _context.Model.Save(loaded, schema, again);
        }

        Assert.InRange(new FileInfo(again).Length, 1, 20_000);
        string elsewhere = Path.Combine(_folder.Path, "elsewhere");
        Directory.Move(bundle, elsewhere);
        string moved = Refusal<DirectoryNotFoundException>(again);
        Assert.Contains(bundle, moved, StringComparison.Ordinal);

        // Another model at the old place.
        CopyFolder(TestModels.Bundle(TestModels.Exits), bundle);
        Assert.Contains("another model", Refusal<InvalidModelException>(again), StringComparison.Ordinal);

        // The right one, damaged.
        Directory.Delete(bundle, recursive: true);
        Directory.Move(elsewhere, bundle);
        using (FileStream weights = File.OpenWrite(Path.Combine(bundle, "weights.bin")))
            weights.SetLength(weights.Length - 4);
        Assert.Contains("weights.bin", Refusal<InvalidModelException>(again), StringComparison.Ordinal);
    }

    [Fact]
    public void A_relative_path_is_kept_as_it_was_given()
    {
        string bundle = CopyBundle("relative");
        string relative = Path.GetRelativePath(Environment.CurrentDirectory, bundle);
        IDataView data = Load();
        using (TextGenerationTransformer fitted = FitByReference(relative, data))
            _context.Model.Save(fitted, data.Schema, Zip);

        using (ZipArchive archive = ZipFile.OpenRead(Zip))
        using (var json = System.Text.Json.JsonDocument.Parse(archive.Entries.Single(entry => entry.Name == "Transformer.json").Open()))
            Assert.Equal(relative, json.RootElement.GetProperty("bundlePath").GetString());
        using var loaded = (TextGenerationTransformer)_context.Model.Load(Zip, out _);
        Assert.Equal(3, loaded.Transform(data).GetColumn<string>("Text").Count());
    }

    private string Refusal<TException>(string zip)
        where TException : Exception =>
        Assert.IsType<TException>(Assert.ThrowsAny<Exception>(() => _context.Model.Load(zip, out _)).GetBaseException()).Message;

    [MethodImpl(MethodImplOptions.NoInlining)]
    private WeakReference FitAndForget() => new(Fit("A", s_options, CopyBundle("forgotten"), Load()).Model);

    private TextGenerationTransformer Fit(string output, TextGenerationOptions options, string bundle, IDataView data) =>
        _context.Transforms.Text.GenerateText(output, "Prompt", bundle, options).Fit(data);

    private TextGenerationTransformer FitByReference(string bundle, IDataView data) => _context.Transforms.Text.GenerateText(new TextGenerationEstimator.Options
    {
        OutputColumnName = "Text",
        InputColumnName = "Prompt",
        ModelPath = bundle,
        GenerationOptions = s_options,
        SaveByReference = true,
    }).Fit(data);

    private IDataView Load() => _context.Data.LoadFromEnumerable(DemoRow.Create(3));

    private string CopyBundle(string name) => CopyFolder(TestModels.Bundle(TestModels.Demo), Path.Combine(_folder.Path, name));

    private static string CopyFolder(string source, string target)
    {
        Directory.CreateDirectory(target);
        foreach (string file in Directory.GetFiles(source))
            File.Copy(file, Path.Combine(target, Path.GetFileName(file)));
        return target;
    }
}
