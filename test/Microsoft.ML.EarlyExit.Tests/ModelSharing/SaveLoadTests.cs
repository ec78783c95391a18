using System.IO.Compression;
using System.Text;
using Microsoft.ML.Data;
using Microsoft.ML.EarlyExit.Files;
using Microsoft.ML.EarlyExit.Transforms;
using Microsoft.ML.OnnxRuntime;

namespace Microsoft.ML.EarlyExit.Tests;

public sealed class SaveLoadTests : IDisposable
{
    private static readonly TextGenerationOptions s_options = new()
    {
        Prefix = "describe: ",
        MaxNewTokens = 6,
        MinNewTokens = 2,
        MaxInputTokens = 100,
        RepetitionPenalty = 1.1f,
        NoRepeatNgramSize = 3,
        BatchSize = 3,
        Exit = new ExitPolicy { MinimumLayer = 2, Threshold = 0.7f, ThresholdTemperature = 1.5f },
    };

    private static readonly Lazy<TemporaryFolder> s_saved = new(SaveOnce);

    private readonly TemporaryFolder _folder = new(Path.GetTempPath());
    private readonly MLContext _context = new();

    private string Zip => Path.Combine(_folder.Path, "model.zip");

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void A_saved_transformer_is_loaded_as_it_was()
    {
        IDataView data = Load(_context);
        using TextGenerationTransformer saved = Fit(_context, data, s_options);
        DemoOutput[] expected = Read(_context, saved.Transform(data));
        _context.Model.Save(saved, data.Schema, Zip);
        saved.Dispose();

        var context = new MLContext();
        ITransformer model = context.Model.Load(Zip, out DataViewSchema schema);
        using var disposable = (IDisposable)model;

        TextGenerationTransformer loaded = Assert.IsType<TextGenerationTransformer>(model);
        Assert.Equal(data.Schema.Select(column => column.Name), schema.Select(column => column.Name));
        Assert.Equal(s_options, loaded.GenerationOptions);
        Assert.Equal("Prompt", loaded.Columns.Input.Name);
        Assert.Equal([(GeneratedColumn.Text, "Text"), (GeneratedColumn.ExitLayers, "Layers")], loaded.Columns.Outputs);
        DemoOutput[] actual = Read(context, model.Transform(Load(context)));
        Assert.Equal(expected.Select(row => row.Text), actual.Select(row => row.Text));
        Assert.Equal(expected.Select(row => row.Layers), actual.Select(row => row.Layers));
    }

    [Fact]
    public void Every_field_of_a_policy_travels_with_the_pipeline()
    {
        var contrastive = new ContrastiveOptions
        {
            Alpha = 0.05f,
            DecayRate = 0.3f,
            PlausibilityFromPruning = true,
            AmateursBelowMinimumLayer = true,
            PlausibleSetWeight = PlausibleSetWeight.Mass,
            Token = ContrastiveToken.Contrastive,
        };
        var exit = new ExitPolicy
        {
            MinimumLayer = 3,
            Threshold = 0.6f,
            ThresholdTemperature = 2,
            Confidence = Confidence.JsdContrastive(contrastive),
            Pruning = VocabularyPruning.Adaptive(0.7f, 60, 3000),
            FullVocabularyAtLastLayer = false,
        };
        IDataView data = Load(_context);
        using TextGenerationTransformer saved = Fit(_context, data, s_options with { Exit = exit });
        _context.Model.Save(saved, data.Schema, Zip);

        ITransformer model = new MLContext().Model.Load(Zip, out _);

        using var disposable = (IDisposable)model;
        Assert.Equal(exit, Assert.IsType<TextGenerationTransformer>(model).GenerationOptions.Exit);
    }

    [Fact]
    public void What_was_loaded_can_be_saved_again()
    {
        IDataView data = Load(_context);
        using (TextGenerationTransformer first = Fit(_context, data, s_options with { Exit = null }))
            _context.Model.Save(first, data.Schema, Zip);
        string second = Path.Combine(_folder.Path, "again.zip");
        ITransformer loaded = _context.Model.Load(Zip, out DataViewSchema schema);
        _context.Model.Save(loaded, schema, second);
        ((IDisposable)loaded).Dispose();

        Assert.Equal(Entries(Zip), Entries(second));
        ITransformer again = _context.Model.Load(second, out _);
        Assert.Equal(4, Read(_context, again.Transform(data)).Length);
        ((IDisposable)again).Dispose();
    }

    [Fact]
    public void A_pipeline_with_other_transforms_is_saved_and_loaded_whole()
    {
        IDataView data = Load(_context);
        var pipeline = _context.Transforms.CopyColumns("Copy", "Prompt")
            .Append(_context.Transforms.Text.GenerateText("Text", "Copy", TestModels.Bundle(TestModels.Demo), s_options))
            .Append(_context.Transforms.Text.TokenizeIntoWords("Words", "Text"));
        string[][] expected;
        using (var saved = pipeline.Fit(data))
        {
            expected = [.. saved.Transform(data).GetColumn<string[]>("Words")];
            _context.Model.Save(saved, data.Schema, Zip);
        }

        ITransformer loaded = _context.Model.Load(Zip, out _);

        Assert.Equal(expected, loaded.Transform(data).GetColumn<string[]>("Words"));
        using (var engine = _context.Model.CreatePredictionEngine<DemoRow, DemoOutput>(loaded))
            Assert.NotNull(engine.Predict(DemoRow.Create(1)[0]).Text);

        // The engine owned it.
        Assert.Throws<ObjectDisposedException>(() => loaded.Transform(data).GetColumn<string>("Text").Count());
    }

    [Fact]
    public void A_loaded_bundle_lies_in_the_contexts_temporary_folder_until_it_is_disposed()
    {
        CopySaved();
        string temporary = Directory.CreateDirectory(Path.Combine(_folder.Path, "temporary")).FullName;

        var context = new MLContext { TempFilePath = temporary };
        ITransformer loaded = context.Model.Load(Zip, out _);

        string bundle = Assert.Single(Directory.GetDirectories(temporary));
        Assert.Equal(
            Directory.GetFiles(TestModels.Bundle(TestModels.Demo)).Select(Path.GetFileName).Order(),
            Directory.GetFiles(bundle).Select(Path.GetFileName).Order());
        ((IDisposable)loaded).Dispose();
        Assert.Empty(Directory.GetFileSystemEntries(temporary));
    }

    [Fact]
    public void The_context_that_loads_chooses_the_device()
    {
        Assert.SkipWhen(OrtEnv.Instance().GetAvailableProviders().Contains("CUDAExecutionProvider"), "ONNX Runtime has a GPU here.");
        CopySaved();
        var context = new MLContext { GpuDeviceId = 0, FallbackToCpu = false };
        Exception exception = Assert.ThrowsAny<Exception>(() => context.Model.Load(Zip, out _)).GetBaseException();
        Assert.Contains("Microsoft.ML.OnnxRuntime.Gpu", exception.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void The_zip_names_the_assembly_without_its_version()
    {
        CopySaved();

        using ZipArchive archive = ZipFile.OpenRead(Zip);
        string key = ReadEntry(archive.Entries.Single(entry => entry.Name == "Model.key"), Encoding.Latin1).Replace("\0", "", StringComparison.Ordinal);
        Assert.Contains("Microsoft.ML.EarlyExit", key, StringComparison.Ordinal);
        Assert.DoesNotContain("Version=", key, StringComparison.Ordinal);
        Assert.InRange(TextGenerationTransformer.LoaderSignature.Length, 1, 24);
    }

    [Theory]
    [InlineData("../model.json")]
    [InlineData("sub/model.json")]
    [InlineData("sub\\\\model.json")]
    [InlineData("/tmp/model.json")]
    [InlineData("C:model.json")]
    [InlineData("")]
    [InlineData(".")]
    [InlineData("..")]
    [InlineData("model.json.")]
    public void A_file_name_that_leaves_the_folder_is_refused(string name)
    {
        // In the file itself a backslash is written twice.
        string message = LoadDamaged("Transformer.json", json => ReplaceFirst(json, "\"model.json\"", $"\"{name}\""));
        Assert.Matches(@"files\[\d+\]\.name is ", message);
    }

    [Theory]
    [InlineData("Transformer.json", "\"batchSize\": 3", "\"batchSize\": 0", "batchSize")]
    [InlineData("Transformer.json", "\"batchSize\": 3", "\"batchSize\": 3, \"more\": 1", "more")]
    [InlineData("Transformer.json", "\"length\": ", "\"length\": 1", "bytes instead of")]
    [InlineData("Transformer.json", "\"Layers\"", "\"Text\"", "two columns")]
    [InlineData("Options.json", "\"maxInputTokens\": 100", "\"maxInputTokens\": 0", "maxInputTokens")]
    [InlineData("Policy.json", "\"softmaxMargin\"", "\"other\"", "confidence")]
    [InlineData("Policy.json", "\"minimumLayer\": 2", "\"minimumLayer\": 2000", "Policy.json of the saved text generation was changed")]
    public void A_damaged_stream_is_refused_by_name(string stream, string text, string replacement, string said)
    {
        string message = LoadDamaged(stream, json => ReplaceFirst(json, text, replacement));
        Assert.Contains(said, message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("Transformer.json")]
    [InlineData("Options.json")]
    [InlineData("Policy.json")]
    public void A_stream_that_is_not_UTF_8_is_refused_by_name(string stream)
    {
        CopySaved();
        // Without the hashes, which would be told first.
        EditEntry("Transformer.json", json => System.Text.RegularExpressions.Regex.Replace(json, "\"(options|policy)Sha256\": \"[0-9a-f]{64}\",", ""));
        using (ZipArchive archive = ZipFile.Open(Zip, ZipArchiveMode.Update))
        {
            ZipArchiveEntry entry = Find(archive, stream);
            byte[] json = Encoding.UTF8.GetBytes(ReadEntry(entry, Encoding.UTF8));
            string name = entry.FullName;
            entry.Delete();
            using Stream target = archive.CreateEntry(name).Open();
            int quote = Array.IndexOf(json, (byte)'"');
            target.Write([.. json[..(quote + 1)], 0xFF, .. json[(quote + 1)..]]);
        }

        string message = LoadRefused();
        Assert.Contains(stream, message, StringComparison.Ordinal);
        Assert.Contains("it is not valid UTF-8", message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("Transformer.json")]
    [InlineData("Options.json")]
    [InlineData("Policy.json")]
    [InlineData("Bundle/model.json")]
    public void A_missing_stream_is_refused_by_name(string stream)
    {
        string message = LoadDamaged(stream, _ => null);
        Assert.Contains(stream, message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_changed_bundle_is_refused()
    {
        // The same length, so that only the bundle's own hashes can tell.
        string weights = Path.GetFileName(new DirectoryInfo(TestModels.Bundle(TestModels.Demo)).EnumerateFiles().MaxBy(file => file.Length)!.Name);
        CopySaved();
        using (ZipArchive archive = ZipFile.Open(Zip, ZipArchiveMode.Update))
        {
            using Stream stream = archive.Entries.Single(entry => entry.Name == weights).Open();
            stream.Position = stream.Length / 2;
            int value = stream.ReadByte();
            stream.Position--;
            stream.WriteByte((byte)(value ^ 1));
        }

        Exception exception = Assert.ThrowsAny<Exception>(() => _context.Model.Load(Zip, out _)).GetBaseException();
        Assert.Contains(weights, Assert.IsType<InvalidModelException>(exception).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("Options.json", "\"maxInputTokens\": 100", "\"maxInputTokens\": 101")]
    [InlineData("Policy.json", "\"minimumLayer\": 2", "\"minimumLayer\": 1")]
    public void Changed_options_or_a_changed_policy_are_refused_by_name(string stream, string text, string replacement)
    {
        string message = LoadDamaged(stream, json => ReplaceFirst(json, text, replacement));
        Assert.Contains($"{stream} of the saved text generation was changed", message, StringComparison.Ordinal);
    }

    /// <summary>What is wrong with a graph shows only at the first row; its file then lies in a folder that no user has seen.</summary>
    [Fact]
    public void A_graph_of_a_saved_model_that_is_not_the_librarys_is_named_without_the_temporary_folder()
    {
        using var tampered = new TamperedBundle(withTokenizer: true);
        tampered.EditGraph("encoder.onnx", model => model.Graph.Node[0].OpType = "Neg");
        IDataView data = _context.Data.LoadFromEnumerable([new DemoRow { Prompt = "the" }]);
        using (TextGenerationTransformer saved = _context.Transforms.Text.GenerateText("Text", "Prompt", tampered.Folder).Fit(data))
            _context.Model.Save(saved, data.Schema, Zip);

        ITransformer loaded = _context.Model.Load(Zip, out _);
        using var disposable = (IDisposable)loaded;
        string message = Assert.ThrowsAny<Exception>(() => loaded.Transform(data).GetColumn<string>("Text").ToArray()).GetBaseException().Message;
        Assert.StartsWith("The graph 'encoder.onnx of the saved model' does not fit", message, StringComparison.Ordinal);
        Assert.DoesNotContain("early-exit-", message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_zip_of_an_earlier_version_without_the_hashes_is_loaded_and_means_the_same()
    {
        CopySaved();
        EditEntry("Transformer.json", json => System.Text.RegularExpressions.Regex.Replace(json, "\"(options|policy)Sha256\": \"[0-9a-f]{64}\",", ""));
        ITransformer loaded = _context.Model.Load(Zip, out _);
        using var disposable = (IDisposable)loaded;
        Assert.Equal(s_options with { MissingTexts = MissingTextHandling.UseEmptyText }, Assert.IsType<TextGenerationTransformer>(loaded).GenerationOptions);
    }

    /// <summary>A file that unpacks to far more than it takes: whatever its list says, the manifest's length holds.</summary>
    [Theory]
    [InlineData(false, "bytes instead of")]
    [InlineData(true, "lengths, than model.json of the bundle")]
    public void A_file_that_unpacks_to_more_than_the_manifest_says_is_refused_before_it_is_unpacked(bool isListed, string said)
    {
        const int Length = 300_000_000;
        string message = LoadChanged(archive =>
        {
            ZipArchiveEntry entry = Find(archive, "Bundle/weights.bin");
            string name = entry.FullName;
            entry.Delete();
            using Stream target = archive.CreateEntry(name).Open();
            byte[] zeros = new byte[1_000_000];
            for (int written = 0; written < Length; written += zeros.Length)
                target.Write(zeros);
        }, json => isListed ? System.Text.RegularExpressions.Regex.Replace(json, "(\"weights.bin\",\\s*\"length\": )[0-9]+", $"${{1}}{Length}") : json);
        Assert.Contains(said, message, StringComparison.Ordinal);
        Assert.InRange(new FileInfo(Zip).Length, 1, 100_000_000);
    }

    /// <summary>Manifest, list and zip agree that two files have 2⁶² bytes each, which is more than 64 bits count.</summary>
    [Fact]
    public void Files_whose_lengths_no_number_holds_together_are_refused()
    {
        const long Length = 1L << 62;
        string[] names = ["weights.bin", "encoder.onnx"];
        CopySaved();
        int manifestLength = 0;
        string identity = "";
        EditEntry("Bundle/model.json", json =>
        {
            foreach (string name in names)
                json = Lengthen(json, name, "bytes");
            byte[] manifest = Encoding.UTF8.GetBytes(json);
            (manifestLength, identity) = (manifest.Length, Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(manifest)));
            return json;
        });
        EditEntry("Transformer.json", json =>
        {
            foreach (string name in names)
                json = Lengthen(json, name, "length");
            json = System.Text.RegularExpressions.Regex.Replace(json, "(\"model.json\",\\s*\"length\": )[0-9]+", $"${{1}}{manifestLength}");
            return System.Text.RegularExpressions.Regex.Replace(json, "(\"bundle\": \")[0-9a-f]+", $"${{1}}{identity}");
        });
        File.WriteAllBytes(Zip, WithClaimedLength(File.ReadAllBytes(Zip), names, Length));

        string message = LoadRefused();

        Assert.Contains($"'weights.bin' is listed with {Length} bytes", message, StringComparison.Ordinal);

        static string Lengthen(string json, string name, string field)
        {
            string changed = System.Text.RegularExpressions.Regex.Replace(json, $"(\"{name}\",\\s*\"{field}\": )[0-9]+", $"${{1}}{Length}");
            Assert.NotEqual(json, changed);
            return changed;
        }
    }

    [Fact]
    public void A_file_that_is_not_listed_is_refused()
    {
        string message = LoadChanged(archive =>
        {
            using Stream target = archive
                .CreateEntry(Find(archive, "Bundle/model.json").FullName.Replace("model.json", "more.onnx", StringComparison.Ordinal))
                .Open();
            target.WriteByte(1);
        }, json => json);
        Assert.Contains("Bundle/more.onnx", message, StringComparison.Ordinal);
        Assert.Contains("not in the list", message, StringComparison.Ordinal);
    }

    [Fact]
    public void Another_manifest_is_refused_before_anything_is_unpacked()
    {
        string message = LoadDamaged("Bundle/model.json", json => ReplaceFirst(json, "\"precision\": \"fp32\"", "\"precision\": \"fp16\""));
        Assert.Contains("Bundle/model.json of the saved text generation was changed", message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_bundle_of_links_is_saved_as_the_files_they_lead_to()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "Links need a privilege on Windows.");
        string links = Directory.CreateDirectory(Path.Combine(_folder.Path, "links")).FullName;
        foreach (string path in Directory.GetFiles(TestModels.Bundle(TestModels.Exits)))
            File.CreateSymbolicLink(Path.Combine(links, Path.GetFileName(path)), path);
        File.WriteAllText(Path.Combine(links, ".DS_Store"), "x");
        using EarlyExitModel model = EarlyExitModel.Load(links, new EarlyExitModelOptions { CopyWeights = true });
        IDataView data = Load(_context);
        using TextGenerationTransformer saved = _context.Transforms.Text.GenerateText(new TextGenerationEstimator.Options
        {
            InputColumnName = "Ids",
            TokenIdsColumnName = "Out",
            Model = model,
            GenerationOptions = new TextGenerationOptions { MaxNewTokens = 3 },
        }).Fit(_context.Data.LoadFromEnumerable([new IdsRow { Ids = [5, 6, 1] }]));
        _context.Model.Save(saved, null, Zip);

        ITransformer loaded = _context.Model.Load(Zip, out _);
        using var disposable = (IDisposable)loaded;
        string unpacked = Assert.IsType<TextGenerationTransformer>(loaded).Model.Bundle.Folder;
        Assert.Equal(
            Directory.GetFiles(TestModels.Bundle(TestModels.Exits)).Select(Path.GetFileName).Order(),
            Directory.GetFiles(unpacked).Select(Path.GetFileName).Order());
        Assert.All(Directory.GetFiles(unpacked), path => Assert.Null(new FileInfo(path).LinkTarget));
    }

    [Fact]
    public void A_bundle_that_was_changed_since_it_was_loaded_is_not_saved()
    {
        using var tampered = new TamperedBundle();
        using EarlyExitModel model = EarlyExitModel.Load(tampered.Folder);
        using TextGenerationTransformer saved = _context.Transforms.Text.GenerateText(new TextGenerationEstimator.Options
        {
            InputColumnName = "Ids",
            TokenIdsColumnName = "Out",
            Model = model,
            GenerationOptions = new TextGenerationOptions { MaxNewTokens = 3 },
        }).Fit(_context.Data.LoadFromEnumerable([new IdsRow { Ids = [5, 6, 1] }]));
        byte[] bytes = File.ReadAllBytes(tampered.File("encoder.onnx"));
        bytes[^1] ^= 1;
        File.WriteAllBytes(tampered.File("encoder.onnx"), bytes);
        Assert.Contains(
            "encoder.onnx' was changed since the model was loaded", Assert.Throws<InvalidModelException>(() => _context.Model.Save(saved, null, Zip)).Message);
    }

    [Fact]
    public void A_truncated_zip_is_refused()
    {
        CopySaved();
        using (FileStream stream = File.OpenWrite(Zip))
            stream.SetLength(stream.Length / 2);

        Assert.ThrowsAny<Exception>(() => _context.Model.Load(Zip, out _));
    }

    /// <summary>Loads a saved transformer of which one stream was changed, or removed for null; returns what the refusal says. Nothing may be left
    /// behind.</summary>
    private string LoadDamaged(string stream, Func<string, string?> change)
    {
        CopySaved();
        EditEntry(stream, change);
        return LoadRefused();
    }

    /// <summary>As <see cref="LoadDamaged"/>, with a change of the zip besides one of <c>Transformer.json</c>.</summary>
    private string LoadChanged(Action<ZipArchive> change, Func<string, string> changeTransformer)
    {
        CopySaved();
        using (ZipArchive archive = ZipFile.Open(Zip, ZipArchiveMode.Update))
            change(archive);
        EditEntry("Transformer.json", changeTransformer);
        return LoadRefused();
    }

    private void EditEntry(string stream, Func<string, string?> change)
    {
        using ZipArchive archive = ZipFile.Open(Zip, ZipArchiveMode.Update);
        ZipArchiveEntry entry = Find(archive, stream);
        string name = entry.FullName;
        string? changed = change(ReadEntry(entry, Encoding.UTF8));
        entry.Delete();
        if (changed is null)
            return;
        using Stream target = archive.CreateEntry(name).Open();
        target.Write(Encoding.UTF8.GetBytes(changed));
    }

    /// <summary>A zip whose directory claims that entries unpack to a length of 64 bits.</summary>
    private static byte[] WithClaimedLength(byte[] zip, string[] names, long length)
    {
        // The end's record is the last, and the zip has no comment; the directory lies before it.
        int end = zip.AsSpan().LastIndexOf("PK\x5\x6"u8);
        int start = BitConverter.ToInt32(zip, end + 16);
        var directory = new List<byte>();
        int claimed = 0;
        for (int at = start, size; at < end; at += size)
        {
            int nameLength = BitConverter.ToUInt16(zip, at + 28);
            int extraLength = BitConverter.ToUInt16(zip, at + 30);
            size = 46 + nameLength + extraLength + BitConverter.ToUInt16(zip, at + 32);
            byte[] entry = zip[at..(at + size)];
            string name = Encoding.UTF8.GetString(entry, 46, nameLength);
            if (names.Any(one => name.EndsWith(one, StringComparison.Ordinal)))
            {
                Assert.Equal(0, extraLength);
                claimed++;
                BitConverter.TryWriteBytes(entry.AsSpan(24), uint.MaxValue);
                BitConverter.TryWriteBytes(entry.AsSpan(30), (ushort)12);
                entry = [.. entry[..(46 + nameLength)], 1, 0, 8, 0, .. BitConverter.GetBytes(length), .. entry[(46 + nameLength)..]];
            }

            directory.AddRange(entry);
        }

        Assert.Equal(names.Length, claimed);
        byte[] last = zip[end..];
        BitConverter.TryWriteBytes(last.AsSpan(12), directory.Count);
        return [.. zip[..start], .. directory, .. last];
    }

    private static ZipArchiveEntry Find(ZipArchive archive, string stream) =>
        archive.Entries.Single(candidate => candidate.FullName.Replace('\\', '/').EndsWith("/" + stream, StringComparison.Ordinal));

    private string LoadRefused()
    {
        string temporary = Directory.CreateDirectory(Path.Combine(_folder.Path, "temporary")).FullName;
        var context = new MLContext { TempFilePath = temporary };
        Exception exception = Assert.ThrowsAny<Exception>(() => context.Model.Load(Zip, out _)).GetBaseException();
        Assert.True(exception is InvalidDataException or InvalidModelException or ArgumentException, exception.ToString());
        Assert.Empty(Directory.GetFileSystemEntries(temporary));
        return exception.Message;
    }

    /// <summary>A saved transformer, the same for all tests: compressing it takes a while.</summary>
    private static TemporaryFolder SaveOnce()
    {
        var folder = new TemporaryFolder(Path.GetTempPath());
        var context = new MLContext();
        IDataView data = Load(context);
        using TextGenerationTransformer saved = Fit(context, data, s_options);
        context.Model.Save(saved, data.Schema, Path.Combine(folder.Path, "model.zip"));
        return folder;
    }

    private void CopySaved() => File.Copy(Path.Combine(s_saved.Value.Path, "model.zip"), Zip);

    private static string ReplaceFirst(string text, string part, string replacement)
    {
        int index = text.IndexOf(part, StringComparison.Ordinal);
        Assert.True(index >= 0, $"{part} is not in {text}");
        return string.Concat(text.AsSpan(0, index), replacement, text.AsSpan(index + part.Length));
    }

    private static string ReadEntry(ZipArchiveEntry entry, Encoding encoding)
    {
        using var reader = new StreamReader(entry.Open(), encoding);
        return reader.ReadToEnd();
    }

    private static List<(string Name, uint Crc)> Entries(string path)
    {
        using ZipArchive archive = ZipFile.OpenRead(path);
        return [.. archive.Entries.Where(entry => !entry.FullName.Contains("Schema", StringComparison.Ordinal)).Select(entry => (entry.FullName, entry.Crc32))];
    }

    private static IDataView Load(MLContext context) => context.Data.LoadFromEnumerable(DemoRow.Create(4));

    private static DemoOutput[] Read(MLContext context, IDataView data) => [.. context.Data.CreateEnumerable<DemoOutput>(data, reuseRowObject: false)];

    private static TextGenerationTransformer Fit(MLContext context, IDataView data, TextGenerationOptions options) =>
        context.Transforms.Text.GenerateText(new TextGenerationEstimator.Options
        {
            OutputColumnName = "Text",
            InputColumnName = "Prompt",
            ModelPath = TestModels.Bundle(TestModels.Demo),
            ExitLayersColumnName = "Layers",
            GenerationOptions = options,
        }).Fit(data);
}
