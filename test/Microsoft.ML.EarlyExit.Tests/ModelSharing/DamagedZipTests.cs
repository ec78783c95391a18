using System.IO.Compression;
using System.Text;
using FsCheck;
using FsCheck.Fluent;
using FsCheck.Xunit;
using Microsoft.ML.Data;
using Microsoft.ML.EarlyExit.Files;

namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>Saved models as hostile or unlucky hands leave them.</summary>
public sealed class DamagedZipTests : IDisposable
{
    private static readonly Lazy<byte[]> s_saved = new(Save);

    private readonly TemporaryFolder _folder = new(Path.GetTempPath());

    private string Zip => Path.Combine(_folder.Path, "model.zip");

    private string Temporary => Directory.CreateDirectory(Path.Combine(_folder.Path, "temporary")).FullName;

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void A_newer_version_is_refused_and_says_so()
    {
        File.WriteAllBytes(Zip, s_saved.Value);
        using (ZipArchive archive = ZipFile.Open(Zip, ZipArchiveMode.Update))
        {
            ZipArchiveEntry key = archive.Entries.Single(entry => entry.Name == "Model.key" && Read(entry).AsSpan().IndexOf("EXITTEXT"u8) >= 0);
            byte[] header = Read(key);

            // ML.NET's header: the signature, then the version that wrote it and the oldest that reads it.
            int signature = header.AsSpan().IndexOf("EXITTEXT"u8);
            BitConverter.TryWriteBytes(header.AsSpan(signature + 8), 0x00020001u);
            BitConverter.TryWriteBytes(header.AsSpan(signature + 12), 0x00020001u);
            using Stream stream = key.Open();
            stream.Write(header);
        }

        string message = Refusal();
        Assert.Contains("Microsoft.ML.EarlyExit", message, StringComparison.Ordinal);
        Assert.Contains("newer", message, StringComparison.Ordinal);
    }

    [Property(MaxTest = 40)]
    public void Whatever_byte_is_flipped_the_model_is_refused_or_the_same(PositiveInt place, PositiveInt bit)
    {
        byte[] bytes = [.. s_saved.Value];
        bytes[(int)((place.Get * 7919L) % bytes.Length)] ^= (byte)(1 << (bit.Get % 8));
        AssertRefusedOrSame(bytes);
    }

    [Property(MaxTest = 25)]
    public void Wherever_it_is_cut_the_model_is_refused(PositiveInt place)
    {
        byte[] bytes = s_saved.Value[..(int)((place.Get * 104_729L) % s_saved.Value.Length)];
        File.WriteAllBytes(Zip, bytes);
        Refusal();
        Assert.Empty(OurLitter());
    }

    private static byte[] Save()
    {
        var context = new MLContext();
        IDataView data = Load(context);
        using TextGenerationTransformer saved = context.Transforms.Text.GenerateText(new TextGenerationEstimator.Options
        {
            InputColumnName = "Ids",
            TokenIdsColumnName = "Out",
            Model = TestModels.Model(TestModels.Exits),
            GenerationOptions = new TextGenerationOptions { MaxNewTokens = 4, Exit = new ExitPolicy { MinimumLayer = 2, Threshold = 0.7f } },
        }).Fit(data);
        using var stream = new MemoryStream();
        context.Model.Save(saved, data.Schema, stream);
        return stream.ToArray();
    }

    private static IDataView Load(MLContext context) => context.Data.LoadFromEnumerable([new Row { Ids = [5, 6, 7, 1] }]);

    private static byte[] Read(ZipArchiveEntry entry)
    {
        using var copy = new MemoryStream();
        using Stream stream = entry.Open();
        stream.CopyTo(copy);
        return copy.ToArray();
    }

    private void AssertRefusedOrSame(byte[] bytes)
    {
        File.WriteAllBytes(Zip, bytes);
        var context = new MLContext { TempFilePath = Temporary };
        ITransformer loaded;
        try
        {
            loaded = context.Model.Load(Zip, out _);
        }
        catch (Exception exception)
        {
            // Never one that tells of a mistake of ours.
            Assert.False(exception.GetBaseException() is NullReferenceException or IndexOutOfRangeException or OverflowException, exception.ToString());
            Assert.Empty(OurLitter());
            return;
        }

        using var disposable = loaded as IDisposable;
        if (loaded is not TextGenerationTransformer)
            return;
        IDataView data = Load(context);
        Assert.Equal(
            TestModels.Model(TestModels.Exits).Generate(
                [GenerationInput.FromTokenIds([5, 6, 7, 1])],
                new TextGenerationOptions { MaxNewTokens = 4, Exit = new ExitPolicy { MinimumLayer = 2, Threshold = 0.7f } },
                TestContext.Current.CancellationToken)[0].TokenIds,
            loaded.Transform(data).GetColumn<int[]>("Out").Single());
    }

    // ML.NET itself leaves a folder where a file is no zip at all.
    private string[] OurLitter() => Directory.GetFileSystemEntries(Temporary, "early-exit-*");

    private string Refusal() =>
        Assert.ThrowsAny<Exception>(() => new MLContext { TempFilePath = Temporary }.Model.Load(Zip, out _)).GetBaseException().Message;

    private sealed class Row
    {
        public int[] Ids { get; set; } = [];
    }
}
