using System.Buffers.Binary;
using System.Text;
using System.Text.Json.Nodes;
using Microsoft.ML.EarlyExit.Conversion.Checkpoint;

namespace Microsoft.ML.EarlyExit.Conversion.Tests;

public sealed class SafetensorsTests
{
    private static readonly byte[] EightBytes = new byte[8];

    [Theory]
    [InlineData("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}""")]
    [InlineData("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}      """)]
    [InlineData("""{"b":{"data_offsets":[4,8],"shape":[2,1],"dtype":"F16"},"__metadata__":{"x":"y"},"a":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}}""")]
    [InlineData("""{"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]},"e":{"dtype":"F32","shape":[0,2147483647],"data_offsets":[4,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}""")]
    public void Honest_headers_are_read(string header) => Assert.Null(Record.Exception(() => Open(header, EightBytes)));

    [Theory]
    [InlineData(
        "overlapping", "inside another", """{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}""")]
    [InlineData(
        "twice the same bytes", "inside another",
        """{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}""")]
    [InlineData("a gap before", "after a gap", """{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}""")]
    [InlineData(
        "a gap between", "after a gap", """{"a":{"dtype":"F16","shape":[1],"data_offsets":[0,2]},"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}""")]
    [InlineData("bytes at the end", "longer than its tensors", """{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}""")]
    [InlineData("no tensors", "longer than its tensors", "{}")]
    [InlineData("beyond the file", "cut short", """{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,12]}}""")]
    [InlineData("far beyond the file", "cut short", """{"a":{"dtype":"F32","shape":[2147483647,1073741823],"data_offsets":[0,9223372023969873924]}}""")]
    [InlineData("size of another shape", "does not fill", """{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}""")]
    [InlineData("size of another type", "does not fill", """{"a":{"dtype":"F16","shape":[2],"data_offsets":[0,8]}}""")]
    [InlineData("backwards", "does not fill", """{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}""")]
    [InlineData("overflowing", "does not fill", """{"a":{"dtype":"F32","shape":[2147483647,2147483647,2147483647],"data_offsets":[0,8]}}""")]
    [InlineData("overflowing to 8", "does not fill", """{"a":{"dtype":"F32","shape":[1073741824,1073741824,16],"data_offsets":[0,0]}}""")]
    [InlineData("negative dimension", "shape", """{"a":{"dtype":"F32","shape":[-1,-2],"data_offsets":[0,8]}}""")]
    [InlineData("huge dimension", "shape", """{"a":{"dtype":"F32","shape":[99999999999],"data_offsets":[0,8]}}""")]
    [InlineData("fractional dimension", "shape", """{"a":{"dtype":"F32","shape":[2.0],"data_offsets":[0,8]}}""")]
    [InlineData("text dimension", "shape", """{"a":{"dtype":"F32","shape":["2"],"data_offsets":[0,8]}}""")]
    [InlineData("too many dimensions", "shape", """{"a":{"dtype":"F32","shape":[2,1,1,1,1,1,1,1,1],"data_offsets":[0,8]}}""")]
    [InlineData("shape is no list", "shape", """{"a":{"dtype":"F32","shape":2,"data_offsets":[0,8]}}""")]
    [InlineData("negative offset", "data_offsets", """{"a":{"dtype":"F32","shape":[2],"data_offsets":[-8,0]}}""")]
    [InlineData("huge offset", "data_offsets", """{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,99999999999999999999]}}""")]
    [InlineData("one offset", "data_offsets", """{"a":{"dtype":"F32","shape":[2],"data_offsets":[8]}}""")]
    [InlineData("three offsets", "data_offsets", """{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8,8]}}""")]
    [InlineData("offsets are no list", "data_offsets", """{"a":{"dtype":"F32","shape":[2],"data_offsets":"0,8"}}""")]
    [InlineData("no dtype", "dtype", """{"a":{"shape":[2],"data_offsets":[0,8]}}""")]
    [InlineData("no shape", "shape", """{"a":{"dtype":"F32","data_offsets":[0,8]}}""")]
    [InlineData("no offsets", "data_offsets", """{"a":{"dtype":"F32","shape":[2]}}""")]
    [InlineData("no object", "'a'", """{"a":[]}""")]
    [InlineData("unknown key", "'strides'", """{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"strides":[1]}}""")]
    [InlineData("key twice", "'shape'", """{"a":{"dtype":"F32","shape":[2],"shape":[2],"data_offsets":[0,8]}}""")]
    [InlineData("tensor twice", "'a' twice", """{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}""")]
    [InlineData(
        "tensor twice, once escaped", "'a' twice",
        """{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"\u0061":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}""")]
    [InlineData("metadata twice", "twice", """{"__metadata__":{},"__metadata__":{},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}""")]
    [InlineData("metadata key twice", "twice", """{"__metadata__":{"k":"1","k":"2"},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}""")]
    [InlineData("nested metadata", "__metadata__", """{"__metadata__":{"k":{}},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}""")]
    [InlineData("double precision", "F64", """{"a":{"dtype":"F64","shape":[1],"data_offsets":[0,8]}}""")]
    [InlineData("integers", "I8", """{"a":{"dtype":"I8","shape":[8],"data_offsets":[0,8]}}""")]
    [InlineData("lower case", "f32", """{"a":{"dtype":"f32","shape":[2],"data_offsets":[0,8]}}""")]
    [InlineData("dtype is no text", "dtype", """{"a":{"dtype":32,"shape":[2],"data_offsets":[0,8]}}""")]
    [InlineData("space before", "begin", """ {"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}""")]
    [InlineData("a list", "begin", "[]")]
    [InlineData("empty", "begin", "")]
    [InlineData("cut", "JSON", """{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}""")]
    [InlineData("more behind", "JSON", """{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}{}""")]
    [InlineData("comment", "JSON", """{/**/"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}""")]
    [InlineData("trailing comma", "JSON", """{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},}""")]
    [InlineData("half a character", "JSON", """{"\ud800":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}""")]
    public void Lying_headers_are_refused(string what, string expected, string header)
    {
        string message = Refused(TinyCheckpoint.Safetensors(header, EightBytes));
        Assert.True(message.Contains(expected, StringComparison.Ordinal), $"{what}: {message}");
        Assert.Contains("model.safetensors", message);
    }

    [Fact]
    public void Deep_and_huge_headers_are_refused()
    {
        Refused(TinyCheckpoint.Safetensors("{\"a\":" + new string('[', 1_000_000), EightBytes));
        Refused(TinyCheckpoint.Safetensors($"{{\"{new string('n', 5_000_000)}\":{{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}}}", EightBytes));
        Refused(TinyCheckpoint.Safetensors(
            $"{{\"a\":{{\"dtype\":\"F32\",\"shape\":[{string.Join(",", Enumerable.Repeat("1", 1_000_000))}],\"data_offsets\":[0,8]}}}}",
            EightBytes));
        var many = new StringBuilder("{");
        for (int i = 0; i < 70_000; i++)
        {
            many.Append($"\"{i}\":{{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}},");
        }

        many.Append("\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}");
        Assert.Contains("65536", Refused(TinyCheckpoint.Safetensors(many.ToString(), EightBytes)));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(7)]
    [InlineData(8)]
    [InlineData(20)]
    public void Files_too_short_for_their_header_are_refused(int length) =>
        Refused(TinyCheckpoint.Safetensors("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}""", EightBytes)[..length]);

    [Theory]
    [InlineData(61L)]
    [InlineData(100_000_001L)]
    [InlineData(int.MaxValue)]
    [InlineData(1L << 32)]
    [InlineData(long.MaxValue)]
    [InlineData(long.MinValue)]
    [InlineData(-1L)]
    public void Header_lengths_beyond_the_file_are_refused(long length)
    {
        byte[] file = TinyCheckpoint.Safetensors("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}""", EightBytes);
        BinaryPrimitives.WriteInt64LittleEndian(file, length == 61 ? file.Length - 7 : length);
        Refused(file);
    }

    [Fact]
    public void Longer_and_shorter_files_are_refused()
    {
        using var folder = new TemporaryFolder();
        new TinyCheckpoint().Write(folder.Path);
        byte[] whole = File.ReadAllBytes(folder.File("model.safetensors"));
        Assert.Contains("cut short", Refused(whole[..^1]));
        Assert.Contains("longer than its tensors", Refused([.. whole, 0]));
    }

    [Fact]
    public void Tensors_may_come_in_any_order_and_at_any_alignment()
    {
        var tiny = new TinyCheckpoint(dataType: CheckpointDataType.F16);
        new Random(5).Shuffle(System.Runtime.InteropServices.CollectionsMarshal.AsSpan(tiny.Tensors));
        tiny.EditHeader = (_, header) =>
        {
            List<KeyValuePair<string, JsonNode?>> entries = [.. header.OrderBy(entry => entry.Key, StringComparer.Ordinal)];
            header.Clear();
            foreach ((string name, JsonNode? entry) in entries)
            {
                header.Add(name, entry);
            }

            // An odd header length makes every offset in the file odd.
            JsonObject metadata = header["__metadata__"]!.AsObject();
            metadata["p"] = "";
            metadata["p"] = header.ToJsonString().Length % 2 == 0 ? "x" : "";
        };
        using var folder = new TemporaryFolder();
        tiny.Write(folder.Path);
        Assert.Equal(1, File.ReadAllBytes(folder.File("model.safetensors"))[0] % 2);
        using T5Checkpoint checkpoint = T5Checkpoint.Open(folder.Path);
        foreach (TinyTensor tensor in tiny.Tensors)
        {
            var read = new float[tensor.Values.Length];
            checkpoint[tensor.Name].Read(0, read);
            Assert.Equal(tensor.Values, read);
        }
    }

    [Fact]
    public void An_unsupported_type_names_tensor_and_type()
    {
        var tiny = new TinyCheckpoint
        {
            EditHeader = (_, header) =>
            {
                JsonObject entry = header["decoder.final_layer_norm.weight"]!.AsObject();
                entry["dtype"] = "F8_E4M3";
            },
        };
        string message = T5CheckpointTests.Refused(tiny);
        Assert.Contains("'decoder.final_layer_norm.weight'", message);
        Assert.Contains("F8_E4M3", message);
    }

    [Fact]
    public void Damaged_files_are_read_or_refused_and_nothing_else()
    {
        using var folder = new TemporaryFolder();
        new TinyCheckpoint(TinyCheckpoint.Sizes with { EncoderLayerCount = 1, DecoderLayerCount = 1 }).Write(folder.Path);
        string path = folder.File("model.safetensors");
        byte[] whole = File.ReadAllBytes(path);
        int header = 8 + (int)BinaryPrimitives.ReadInt64LittleEndian(whole);
        var random = new Random(20240607);
        int refused = 0;
        for (int i = 0; i < 3000; i++)
        {
            byte[] damaged = [.. whole];
            for (int flips = random.Next(1, 4); flips > 0; flips--)
            {
                damaged[random.Next(header)] ^= (byte)(1 << random.Next(8));
            }

            if (i % 5 == 0)
            {
                damaged = damaged[..random.Next(damaged.Length)];
            }

            File.WriteAllBytes(path, damaged);
            Exception? exception = Record.Exception(() => T5Checkpoint.Open(folder.Path).Dispose());
            Assert.True(exception is null or InvalidModelException, $"{i}: {exception}");
            refused += exception is null ? 0 : 1;
        }

        Assert.InRange(refused, 1500, 3000);
    }

    [Fact]
    public void Files_beyond_two_gigabytes_are_read()
    {
        // Elsewhere the file would take its full size on disk.
        Assert.SkipUnless(OperatingSystem.IsLinux(), "Needs sparse files.");
        using var folder = new TemporaryFolder();
        const long Large = 2L * 1_150_000 * 1000;
        byte[] start = TinyCheckpoint.Safetensors($$$"""{"large":{"dtype":"F16","shape":[1150000,1000],"data_offsets":[0,{{{Large}}}]},"small":{"dtype":"F32","shape":[2],"data_offsets":[{{{Large}}},{{{Large + 8}}}]}}""", []);
        using (FileStream file = File.Create(folder.File("large.safetensors")))
        {
            file.Write(start);
            file.Seek(start.Length + Large - 2, SeekOrigin.Begin);
            file.Write([.. BitConverter.GetBytes((Half)1.5f), .. BitConverter.GetBytes(2.5f), .. BitConverter.GetBytes(-3f)]);
        }

        using SafetensorsFile opened = SafetensorsFile.Open(folder.File("large.safetensors"));
        var end = new float[3];
        opened.Tensors[0].Read(1_150_000_000 - 3, end);
        Assert.Equal([0, 0, 1.5f], end);
        opened.Tensors[1].Read(0, end.AsSpan(0, 2));
        Assert.Equal([2.5f, -3f, 1.5f], end);
    }

    private static void Open(string header, byte[] data)
    {
        using var folder = new TemporaryFolder();
        File.WriteAllBytes(folder.File("model.safetensors"), TinyCheckpoint.Safetensors(header, data));
        SafetensorsFile.Open(folder.File("model.safetensors")).Dispose();
    }

    private static string Refused(byte[] file)
    {
        using var folder = new TemporaryFolder();
        string path = folder.File("model.safetensors");
        File.WriteAllBytes(path, file);
        return Assert.Throws<InvalidModelException>(() => SafetensorsFile.Open(path)).Message;
    }
}
