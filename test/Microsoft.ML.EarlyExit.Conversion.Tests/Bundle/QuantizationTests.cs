using System.Text.Json.Nodes;
using Microsoft.ML.EarlyExit.Conversion.Bundle;
using Microsoft.ML.EarlyExit.Model.Bundle;
using Microsoft.ML.EarlyExit.Model.Graphs;
using Microsoft.ML.EarlyExit.Model.Weights;

namespace Microsoft.ML.EarlyExit.Conversion.Tests;

/// <summary>Bundles of whole numbers with scales: what is in them, what the conversion says of it, and what it keeps.</summary>
public sealed class QuantizationTests(ConvertedModels models) : IDisposable
{
    private static readonly WeightPrecision[] s_types = [WeightPrecision.Int8, WeightPrecision.Int4];

    private readonly TemporaryFolder _folder = new();

    /// <summary>Widths that blocks divide, and such that nothing does; heads that are filled up; all kinds.</summary>
    public static TheoryData<WeightPrecision, int, int, int, bool, bool> Kinds =>
    [
        .. from precision in s_types
           from sizes in ((int, int, int)[])[(24, 40, 5), (128, 256, 8), (64, 192, 12), (256, 129, 16), (130, 64, 8)]
           from gated in (bool[])[false, true]
           select new TheoryDataRow<WeightPrecision, int, int, int, bool, bool>(precision, sizes.Item1, sizes.Item2, sizes.Item3, gated, !gated),
    ];

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData(WeightPrecision.Int8, "decoder.0.self.q", 1024, WeightPrecision.Int8, 128)]
    [InlineData(WeightPrecision.Int8, "decoder.11.ff.wo", 4096, WeightPrecision.Int8, 128)]
    [InlineData(WeightPrecision.Int8, "decoder.1.cross.q", 24, WeightPrecision.Int8, 24)]
    [InlineData(WeightPrecision.Int8, "decoder.1.cross.o", 192, WeightPrecision.Int8, 192)]
    [InlineData(WeightPrecision.Int8, "decoder.1.cross.kv", 1024, WeightPrecision.Int8, 1024)]
    [InlineData(WeightPrecision.Int8, "encoder.1.self.kv", 1024, WeightPrecision.Int8, 1024)]
    [InlineData(WeightPrecision.Int8, "encoder.3.ff.wo", 4096, WeightPrecision.Int8, 4096)]
    [InlineData(WeightPrecision.Int4, "decoder.0.ff.wi", 1024, WeightPrecision.Int4, 64)]
    [InlineData(WeightPrecision.Int4, "decoder.0.ff.wi_1", 192, WeightPrecision.Int4, 64)]
    [InlineData(WeightPrecision.Int4, "decoder.0.ff.wo", 130, WeightPrecision.Int8, 130)]
    [InlineData(WeightPrecision.Int4, "decoder.0.self.kv", 1024, WeightPrecision.Int8, 128)]
    [InlineData(WeightPrecision.Int4, "decoder.0.cross.kv", 1024, WeightPrecision.Int8, 1024)]
    [InlineData(WeightPrecision.Int4, "encoder.0.ff.wi", 1024, WeightPrecision.Int8, 1024)]
    public void Matrices_have_the_types_and_blocks_of_the_documentation(
        WeightPrecision precision, string name, int width, WeightPrecision type, int block)
    {
        Assert.Equal(type, StoredTypes.Of(precision, name, width));
        Assert.Equal(block, StoredTypes.Block(name, type, width));
        Assert.True(StoredTypes.Allows(precision, name, type));
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void Weights_are_those_of_the_checkpoint_but_for_half_a_scale(
        WeightPrecision precision, int width, int feedForward, int headWidth, bool gated, bool ownHead)
    {
        string source = Write(new TinyCheckpoint(
            TinyCheckpoint.Sizes with
            {
                ModelDimension = width, FeedForwardDimension = feedForward, KeyValueDimension = headWidth, GatedFeedForward = gated,
                ScaleDecoderOutputs = !ownHead,
            },
            ownHead: ownHead));
        T5Converter.Convert(source, _folder.File("single"));
        T5ConversionReport report = T5Converter.Convert(source, _folder.File("numbers"), new T5ConversionOptions { Weights = precision });
        using ModelBundle single = ModelBundle.Open(_folder.File("single"));
        using ModelBundle numbers = ModelBundle.Open(_folder.File("numbers"));
        Assert.Equal((2, precision), (numbers.Manifest.FormatVersion, numbers.Manifest.Precision));
        var squares = new Dictionary<string, (double Error, double Norm)>();
        foreach (BundleTensor tensor in single.Manifest.Tensors)
        {
            Assert.True(numbers.TryGetTensor(tensor.Name, out BundleTensor stored));
            if (!T5TensorNames.IsLayerMatrix(tensor.Name))
            {
                Assert.Equal(single.Tensor(tensor).Floats, numbers.Tensor(stored).Floats);
                continue;
            }

            bool isHalf = precision == WeightPrecision.Int4 && tensor.Name.StartsWith("decoder.", StringComparison.Ordinal)
                && tensor.Name.Contains(".ff.", StringComparison.Ordinal) && tensor.Shape[0] % 64 == 0;
            Assert.Equal(isHalf ? WeightPrecision.Int4 : WeightPrecision.Int8, stored.Type);
            Assert.Equal(tensor.Shape.Reverse(), stored.Shape);
            squares[tensor.Name] = Compare(single.Tensor(tensor), new QuantizedMatrix(numbers, stored));
        }

        string[] kinds = ["encoder.self.q", "encoder.self.kv", "encoder.self.o", "encoder.ff.wi", "encoder.ff.wo", "decoder.self.q", "decoder.self.kv",
            "decoder.self.o", "decoder.cross.q", "decoder.cross.kv", "decoder.cross.o", "decoder.ff.wi", "decoder.ff.wo"];
        Assert.Equal(kinds, report.QuantizationErrors.Select(error => error.Kind));
        foreach (QuantizationError error in report.QuantizationErrors)
        {
            string[] parts = error.Kind.Split('.');
            var own = squares.Where(matrix => matrix.Key.Split('.') is var names
                && names[0] == parts[0] && names[2] == parts[1] && names[3].Split('_')[0] == parts[2]).ToDictionary();
            Assert.Equal(own.Count, error.Count);
            Assert.Equal(Math.Sqrt(own.Values.Sum(one => one.Error) / own.Values.Sum(one => one.Norm)), error.RelativeError, 1e-5 * error.RelativeError);
            Assert.Equal(own.Values.Max(one => Math.Sqrt(one.Error / one.Norm)), error.WorstRelativeError, 1e-5 * error.WorstRelativeError);
            Assert.Equal(Math.Sqrt(own[error.WorstMatrix].Error / own[error.WorstMatrix].Norm), error.WorstRelativeError, 1e-5 * error.WorstRelativeError);
            Assert.InRange(error.RelativeError, 1e-3, error.Weights == WeightPrecision.Int4 ? 0.12 : 0.012);
        }
    }

    [Fact]
    public void The_same_bytes_come_out_again()
    {
        string again = _folder.File("again");
        T5Converter.Convert(ConvertedModels.Source("tiny-v10"), again, new T5ConversionOptions { Weights = WeightPrecision.Int4 });
        string bundle = models.Bundle("tiny-v10", WeightPrecision.Int4);
        Assert.All(Directory.GetFiles(bundle), path => Assert.Equal(File.ReadAllBytes(path), File.ReadAllBytes(Path.Combine(again, Path.GetFileName(path)))));
    }

    [Fact]
    public void A_matrix_with_outliers_is_warned_of_and_can_be_kept()
    {
        var checkpoint = new TinyCheckpoint(TinyCheckpoint.Sizes with { ModelDimension = 128, FeedForwardDimension = 128 });
        float[] values = checkpoint["decoder.block.2.layer.2.DenseReluDense.wo.weight"].Values;
        for (int at = 0; at < values.Length; at += 128)
            values[at] = 30;
        string source = Write(checkpoint);
        T5ConversionReport report = T5Converter.Convert(source, _folder.File("plain"), new T5ConversionOptions { Weights = WeightPrecision.Int4 });
        string warning = Assert.Single(report.Warnings, warning => warning.Contains("outliers", StringComparison.Ordinal));
        Assert.Contains("'decoder.2.ff.wo'", warning);
        Assert.Contains("'fp32:decoder.2.ff.wo'", warning);
        Assert.Equal(4, report.QuantizationErrors.Single(error => error.Kind == "decoder.ff.wo").Count);

        var keeping = new T5ConversionOptions { Weights = WeightPrecision.Int4, Keep = ["fp32:decoder.2.ff.wo"] };
        report = T5Converter.Convert(source, _folder.File("kept"), keeping);
        Assert.DoesNotContain(report.Warnings, warning => warning.Contains("outliers", StringComparison.Ordinal));
        Assert.Equal(3, report.QuantizationErrors.Single(error => error.Kind == "decoder.ff.wo").Count);
    }

    [Theory]
    [InlineData(15, "fp32:encoder.*")]
    [InlineData(1, "fp32:decoder.3.ff.wo")]
    [InlineData(4, "fp32:decoder.?.ff.wo")]
    [InlineData(8, "fp32:*.ff.wo", "fp32:decoder.*.ff.wo", "fp32:*.2.cross.q")]
    [InlineData(0)]
    public void Kept_matrices_are_those_of_a_bundle_in_single_precision(int count, params string[] keep)
    {
        string source = Write(new TinyCheckpoint(TinyCheckpoint.Sizes with { EncoderLayerCount = 3 }));
        T5Converter.Convert(source, _folder.File("single"));
        T5Converter.Convert(source, _folder.File("kept"), new T5ConversionOptions { Weights = WeightPrecision.Int8, Keep = keep });
        using ModelBundle single = ModelBundle.Open(_folder.File("single"));
        using ModelBundle kept = ModelBundle.Open(_folder.File("kept"));
        BundleTensor[] same =
            [.. kept.Manifest.Tensors.Where(tensor => T5TensorNames.IsLayerMatrix(tensor.Name) && tensor.Type == WeightPrecision.Float32)];
        Assert.Equal(count, same.Length);
        foreach (BundleTensor tensor in same)
        {
            Assert.True(single.TryGetTensor(tensor.Name, out BundleTensor whole));
            Assert.Equal(whole.Shape, tensor.Shape);
            Assert.Equal(single.Tensor(whole).Floats, kept.Tensor(tensor).Floats);
            Assert.False(kept.TryGetTensor(T5TensorNames.Scales(tensor.Name), out _));
        }

        using EarlyExitModel model = EarlyExitModel.Load(_folder.File("kept"));
        GenerationResult result = Assert.Single(model.Generate([GenerationInput.FromTokenIds([5, 9, 1])], new TextGenerationOptions { MaxNewTokens = 4 }));
        Assert.Null(result.Error);
    }

    [Theory]
    [InlineData("fp32:decoder.4.ff.wo")]
    [InlineData("fp32:embedding")]
    [InlineData("fp32:head")]
    [InlineData("fp32:*.norm")]
    [InlineData("fp32:*.scales")]
    [InlineData("fp32:Decoder.0.ff.wo")]
    [InlineData("fp32:decoder.0.ff")]
    public void A_pattern_that_names_no_matrix_is_refused(string keep)
    {
        string source = Write(new TinyCheckpoint());
        var options = new T5ConversionOptions { Weights = WeightPrecision.Int8, Keep = ["fp32:decoder.0.ff.wo", keep] };
        string message = Assert.Throws<ArgumentException>(() => T5Converter.Convert(source, _folder.File("bundle"), options)).Message;
        Assert.Contains($"'{keep}'", message);
        Assert.Contains("decoder.3.ff.wo", message);
        Assert.Equal(["source"], Directory.EnumerateFileSystemEntries(_folder.Path).Select(Path.GetFileName));
    }

    [Theory]
    [InlineData("")]
    [InlineData("fp32")]
    [InlineData("fp32:")]
    [InlineData("bf16:decoder.*")]
    [InlineData("int8:decoder.*")]
    [InlineData("FP32:decoder.*")]
    [InlineData("decoder.*")]
    [InlineData(null)]
    public void What_to_keep_must_be_a_precision_and_a_pattern(string? keep)
    {
        string message = Assert.Throws<ArgumentException>(() => new T5ConversionOptions { Keep = [keep!] }).Message;
        Assert.Contains($"'{keep}'", message);
        Assert.Contains("fp32:decoder.3.ff.wo", message);
        Assert.Throws<ArgumentNullException>(() => new T5ConversionOptions { Keep = null! });
    }

    [Theory]
    [InlineData(WeightPrecision.Float32)]
    [InlineData(WeightPrecision.BFloat16)]
    public void There_is_nothing_to_keep_where_nothing_is_quantised(WeightPrecision precision)
    {
        var options = new T5ConversionOptions { Weights = precision, Keep = ["fp32:decoder.0.ff.wo"] };
        string message = Assert.Throws<ArgumentException>(() => T5Converter.Convert(Write(new TinyCheckpoint()), _folder.File("bundle"), options)).Message;
        Assert.Contains("int8 or int4", message);
        Assert.Empty(T5Converter.Convert(_folder.File("source"), _folder.File("bundle"), options with { Keep = [] }).QuantizationErrors);
    }

    [Theory]
    [InlineData(float.NaN)]
    [InlineData(float.PositiveInfinity)]
    [InlineData(float.NegativeInfinity)]
    [InlineData(2e30f)]
    public void A_weight_that_no_scale_fits_is_refused_with_its_place(float weight)
    {
        var checkpoint = new TinyCheckpoint();
        checkpoint["decoder.block.1.layer.1.EncDecAttention.v.weight"].Values[(7 * 12) + 3] = weight;
        string source = Write(checkpoint);
        var options = new T5ConversionOptions { Weights = WeightPrecision.Int8 };
        string message = Assert.Throws<InvalidModelException>(() => T5Converter.Convert(source, _folder.File("bundle"), options)).Message;
        // Row 7 of the values: head 1, place 2, after as many rows of keys, heads of 8.
        Assert.Contains("'decoder.1.cross.kv'", message);
        Assert.Contains($"output {(3 * 8) + 8 + 2} ", message);
        Assert.Contains("fp32:decoder.1.cross.kv", message);
        Assert.Equal(["source"], Directory.EnumerateFileSystemEntries(_folder.Path).Select(Path.GetFileName));
        T5Converter.Convert(source, _folder.File("bundle"), options with { Keep = ["fp32:decoder.1.cross.kv"] });
    }

    [Fact]
    public void Zeros_stay_zeros()
    {
        var checkpoint = new TinyCheckpoint();
        checkpoint["decoder.block.1.layer.2.DenseReluDense.wi.weight"].Values.AsSpan().Clear();
        T5ConversionReport report = T5Converter.Convert(Write(checkpoint), _folder.File("bundle"), new T5ConversionOptions { Weights = WeightPrecision.Int8 });
        using ModelBundle bundle = ModelBundle.Open(_folder.File("bundle"));
        Assert.True(bundle.TryGetTensor("decoder.1.ff.wi", out BundleTensor tensor));
        float[] row = new float[12];
        new QuantizedMatrix(bundle, tensor).ReadRow(3, row);
        Assert.All(row, weight => Assert.Equal(0, weight));
        Assert.All(bundle.Tensor("decoder.1.ff.wi.scales").Floats.ToArray(), scale => Assert.Equal(1, scale));
        Assert.All(report.QuantizationErrors, error => Assert.True(double.IsFinite(error.RelativeError)));
    }

    [Fact]
    public void A_disk_that_has_room_for_whole_numbers_only_takes_them()
    {
        string source = ConvertedModels.Source("tiny-v10");
        using var mount = new TemporaryMount(1 << 20);
        Assert.Contains("are free", Assert.Throws<IOException>(() => T5Converter.Convert(source, mount.File("single"))).Message);
        var options = new T5ConversionOptions { Weights = WeightPrecision.Int8 };
        T5Converter.Convert(source, mount.File("numbers"), options);
        ModelBundle.Open(mount.File("numbers")).Dispose();
        using var small = new TemporaryMount(256 << 10);
        Assert.Contains("are free", Assert.Throws<IOException>(() => T5Converter.Convert(source, small.File("numbers"), options)).Message);
    }

    [Theory]
    [InlineData("tiny-v10")]
    [InlineData("tiny-v11")]
    public void The_matrices_that_are_asked_of_the_disk_are_those_that_are_written(string name)
    {
        foreach (WeightPrecision precision in Enum.GetValues<WeightPrecision>())
        {
            using ModelBundle bundle = ModelBundle.Open(models.Bundle(name, precision));
            LayerMatrix[] matrices = [.. LayerMatrix.All(bundle.Configuration)];
            BundleTensor[] written = [.. bundle.Manifest.Tensors.Where(tensor => T5TensorNames.IsLayerMatrix(tensor.Name))];
            Assert.Equal(matrices.Select(matrix => matrix.Name), written.Select(tensor => tensor.Name));
            Assert.Equal(
                matrices.Select(matrix => (matrix.Inputs, matrix.Outputs)),
                written.Select(tensor => WeightFormat.Of(tensor.Type).HasScales ? (tensor.Shape[1], tensor.Shape[0]) : (tensor.Shape[0], tensor.Shape[1])));
            long scales = bundle.Manifest.Tensors.Where(tensor => tensor.Name.EndsWith(".scales", StringComparison.Ordinal)).Sum(tensor => tensor.ByteCount);
            Assert.Equal(
                written.Sum(tensor => tensor.ByteCount) + scales, new MatrixTypes(bundle.Configuration, new T5ConversionOptions { Weights = precision }).Bytes);
        }
    }

    [Fact]
    public void A_bundle_says_which_of_its_tensors_are_numbers()
    {
        JsonNode manifest = JsonNode.Parse(File.ReadAllBytes(Path.Combine(models.Bundle("tiny-v10", WeightPrecision.Int4), "model.json")))!;
        Assert.Equal(("int4", 2), ((string)manifest["precision"]!, (int)manifest["formatVersion"]!));
        Assert.Equal("int4", Type("decoder.0.ff.wi"));
        Assert.Equal("int8", Type("decoder.0.self.q"));
        Assert.Equal("int8", Type("encoder.1.ff.wo"));
        Assert.Null(Type("embedding"));
        Assert.Null(Type("decoder.0.ff.wi.scales"));
        Assert.Equal("[128,64]", Tensor("decoder.0.ff.wi")["shape"]!.ToJsonString());
        Assert.Equal("[64,2]", Tensor("decoder.0.ff.wo.scales")["shape"]!.ToJsonString());
        Assert.Equal("[64,1]", Tensor("encoder.0.ff.wo.scales")["shape"]!.ToJsonString());

        JsonNode Tensor(string name) => manifest["tensors"]!.AsArray().Single(tensor => (string)tensor!["name"]! == name)!;
        string? Type(string name) => (string?)Tensor(name)["type"];
    }

    /// <summary>The sums of squared differences and weights; fails where a weight is off by more than half a scale though it is not cut off.</summary>
    private static (double Error, double Norm) Compare(WeightTensor whole, QuantizedMatrix numbers)
    {
        (double error, double norm) = (0, 0);
        float[] row = new float[numbers.Width];
        float[] column = new float[whole.Width];
        int most = numbers.Type == WeightPrecision.Int4 ? 7 : 127;
        var transposed = new float[numbers.Rows, numbers.Width];
        for (int input = 0; input < whole.Rows; input++)
        {
            whole.ReadRow(input, column);
            for (int output = 0; output < column.Length; output++)
                transposed[output, input] = column[output];
        }

        for (int output = 0; output < numbers.Rows; output++)
        {
            numbers.ReadRow(output, row);
            for (int input = 0; input < row.Length; input++)
            {
                float scale = Scale(output, input);
                double difference = row[input] - (double)transposed[output, input];
                error += difference * difference;
                norm += Math.Pow(transposed[output, input], 2);
                if (MathF.Abs(row[input]) < (most - 0.5f) * scale)
                    Assert.InRange(Math.Abs(difference), 0, scale * 0.5 * (1 + 1e-5));
            }
        }

        return (error, norm);

        unsafe float Scale(int output, int input) => numbers.Scales[(output * numbers.Blocks) + (input / numbers.Block)];
    }

    private string Write(TinyCheckpoint checkpoint)
    {
        string source = Directory.CreateDirectory(_folder.File("source")).FullName;
        checkpoint.Write(source);
        return source;
    }
}
