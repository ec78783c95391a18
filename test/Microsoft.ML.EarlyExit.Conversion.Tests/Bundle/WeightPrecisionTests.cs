using System.Runtime.InteropServices;
using System.Text.Json.Nodes;
using Microsoft.ML.EarlyExit.Conversion.Checkpoint;
using Microsoft.ML.EarlyExit.Model.Bundle;
using Microsoft.ML.EarlyExit.Model.Weights;
using Microsoft.ML.OnnxRuntime;

namespace Microsoft.ML.EarlyExit.Conversion.Tests;

/// <summary>Bundles in every precision, from checkpoints in every type.</summary>
public sealed class WeightPrecisionTests(ConvertedModels models) : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData(0x3F800000u, 0x3F80)]
    [InlineData(0x3F808000u, 0x3F80)] // A tie below an even neighbour …
    [InlineData(0x3F818000u, 0x3F82)] // … and above one.
    [InlineData(0x3F808001u, 0x3F81)]
    [InlineData(0xBF807FFFu, 0xBF80)]
    [InlineData(0x00000000u, 0x0000)]
    [InlineData(0x80000000u, 0x8000)]
    [InlineData(0x00008001u, 0x0001)]
    [InlineData(0x7F7FFFFFu, 0x7F80)] // Nearer to the infinity than to the largest number.
    [InlineData(0x7F800000u, 0x7F80)]
    [InlineData(0x7F800001u, 0x7FC0)] // A NaN stays one.
    [InlineData(0xFFC10000u, 0xFFC1)]
    public void Weights_are_rounded_to_the_nearest_ties_to_even(uint single, int expected)
    {
        byte[] stored = new byte[2];
        WeightFormat.Of(WeightPrecision.BFloat16).Narrow([BitConverter.UInt32BitsToSingle(single)], stored);
        Assert.Equal((ushort)expected, BitConverter.ToUInt16(stored));
    }

    [Fact]
    public void Every_precision_has_a_format_and_a_row_in_the_documentation()
    {
        string page = File.ReadAllText(Path.Combine(Repository.Folder, "docs", "model-bundle.md"));
        Assert.Equal(Enum.GetValues<WeightPrecision>(), WeightFormat.All.Select(format => format.Precision));
        Assert.All(WeightFormat.All, format => Assert.Contains($"| `{format.Name}` | {format.ElementBits} bits |", page, StringComparison.Ordinal));
    }

    [Theory]
    [InlineData(nameof(CheckpointDataType.F32))]
    [InlineData(nameof(CheckpointDataType.F16))]
    [InlineData(nameof(CheckpointDataType.BF16))]
    public void Matrices_are_rounded_and_norms_and_biases_kept(string type)
    {
        CheckpointDataType dataType = Enum.Parse<CheckpointDataType>(type);
        (ModelBundle single, ModelBundle half) = Convert(new TinyCheckpoint(dataType: dataType, ownHead: true));
        using (single)
        using (half)
        {
            Assert.Equal((1, 2), (single.Manifest.FormatVersion, half.Manifest.FormatVersion));
            Assert.Equal((WeightPrecision.Float32, WeightPrecision.BFloat16), (single.Manifest.Precision, half.Manifest.Precision));
            Assert.Equal(single.Manifest.Tensors.Select(tensor => tensor.Name), half.Manifest.Tensors.Select(tensor => tensor.Name));
            foreach (BundleTensor tensor in single.Manifest.Tensors)
            {
                Assert.True(half.TryGetTensor(tensor.Name, out BundleTensor stored));
                bool isSmall = tensor.Name.EndsWith("norm", StringComparison.Ordinal) || tensor.Name.EndsWith("relative_bias", StringComparison.Ordinal);
                Assert.Equal(isSmall ? WeightPrecision.Float32 : WeightPrecision.BFloat16, stored.Type);
                float[] exact = Read(single, tensor);
                float[] rounded = Read(half, stored);
                Assert.Equal(isSmall || dataType == CheckpointDataType.BF16 ? exact : [.. exact.Select(Nearest)], rounded);
            }
        }
    }

    [Fact]
    public void The_first_version_is_written_byte_for_byte_where_nothing_asks_for_the_second()
    {
        string source = ConvertedModels.Source("tiny-buckets");
        T5Converter.Convert(source, _folder.File("plain"));
        T5Converter.Convert(source, _folder.File("named"), new T5ConversionOptions { Weights = WeightPrecision.Float32 });
        string manifest = File.ReadAllText(Path.Combine(_folder.File("plain"), "model.json"));
        Assert.Equal(manifest, File.ReadAllText(Path.Combine(_folder.File("named"), "model.json")));
        JsonNode root = JsonNode.Parse(manifest)!;
        Assert.Equal(1, (int)root["formatVersion"]!);
        Assert.Equal("fp32", (string)root["precision"]!);
        Assert.All(root["tensors"]!.AsArray(), tensor => Assert.Equal(["name", "shape", "offset"], tensor!.AsObject().Select(field => field.Key)));

        // It has the hashes of all other files.
        string written = File.ReadAllText(Path.Combine(Repository.Folder, "test", "fixtures", "models", "format-1-manifest.json"));
        Assert.Equal(written, System.Text.RegularExpressions.Regex.Replace(manifest, "Conversion [^\"]+", "Conversion X"));
    }

    [Theory]
    [InlineData("tiny-v10")]
    [InlineData("tiny-v11")]
    public void Every_graph_over_stored_weights_loads_in_ONNX_Runtime_from_its_path(string name)
    {
        string[] paths = Directory.GetFiles(models.Bundle(name, WeightPrecision.BFloat16), "*.onnx");
        Assert.True(paths.Length > 10);
        foreach (string path in paths)
        {
            using var session = new InferenceSession(path);
            Assert.NotEmpty(session.OutputNames);
        }
    }

    [Fact]
    public void Other_values_than_the_enumerations_are_refused()
    {
        var exception = Assert.Throws<ArgumentOutOfRangeException>(() => new T5ConversionOptions { Weights = (WeightPrecision)4 });
        Assert.Contains("Float32, BFloat16, Int8, Int4", exception.Message);
    }

    private (ModelBundle Single, ModelBundle Half) Convert(TinyCheckpoint checkpoint)
    {
        string source = Directory.CreateDirectory(_folder.File("source")).FullName;
        checkpoint.Write(source);
        T5Converter.Convert(source, _folder.File("single"));
        T5Converter.Convert(source, _folder.File("half"), new T5ConversionOptions { Weights = WeightPrecision.BFloat16 });
        return (ModelBundle.Open(_folder.File("single")), ModelBundle.Open(_folder.File("half")));
    }

    private static float[] Read(ModelBundle bundle, BundleTensor tensor)
    {
        byte[] file = File.ReadAllBytes(Path.Combine(bundle.Folder, bundle.Manifest.WeightsFile));
        Span<byte> bytes = file.AsSpan((int)tensor.Offset, (int)tensor.ByteCount);
        return tensor.Type == WeightPrecision.Float32
            ? MemoryMarshal.Cast<byte, float>(bytes).ToArray()
            : [.. MemoryMarshal.Cast<byte, ushort>(bytes).ToArray().Select(upper => BitConverter.UInt32BitsToSingle((uint)upper << 16))];
    }

    /// <summary>Eight significant bits, ties to even, in plain arithmetic.</summary>
    private static float Nearest(float value)
    {
        if (value == 0)
            return value;
        double step = Math.ScaleB(1, Math.ILogB(value) - 7);
        return (float)(Math.Round(value / step, MidpointRounding.ToEven) * step);
    }
}
