using System.Runtime.InteropServices;
using FsCheck;
using FsCheck.Fluent;
using FsCheck.Xunit;
using Microsoft.ML.EarlyExit.Conversion.Bundle;
using Microsoft.ML.EarlyExit.Conversion.Checkpoint;
using Microsoft.ML.EarlyExit.Model.Weights;

namespace Microsoft.ML.EarlyExit.Conversion.Tests;

public sealed class TensorStreamingTests
{
    [Fact]
    public void Writing_keeps_order_and_values()
    {
        foreach (CheckpointDataType dataType in Enum.GetValues<CheckpointDataType>())
        {
            // More than one buffer, and no whole number of them.
            TinyTensor tensor = Tensor("a", 1031, 601, dataType);
            Assert.True(tensor.Values.AsSpan().SequenceEqual(Written([tensor], (read, stream) => TensorStreaming.Write(read[0], stream))), $"{dataType}");
        }
    }

    [Theory]
    [InlineData(1, 1)]
    [InlineData(1, 77)]
    [InlineData(77, 1)]
    [InlineData(15, 17)]
    [InlineData(16, 32)]
    [InlineData(33, 129)]
    [InlineData(129, 33)]
    [InlineData(1023, 2051)]
    [InlineData(40001, 131)]
    public void Transposing_equals_the_naive_way(int rows, int columns)
    {
        foreach (CheckpointDataType dataType in Enum.GetValues<CheckpointDataType>())
        {
            TinyTensor tensor = Tensor("a", rows, columns, dataType);
            Assert.True(
                Naive([tensor]).AsSpan().SequenceEqual(Written([tensor], (read, stream) => TensorStreaming.WriteTransposed(read[0], stream))), $"{dataType}");
        }
    }

    [Property(MaxTest = 60)]
    public Property Transposes_side_by_side_equal_the_naive_way()
    {
        var sizes = from inputs in Gen.Choose(1, 70) from outputs in Gen.Choose(1, 50).NonEmptyListOf() select (inputs, outputs.Take(4).ToArray());
        return Prop.ForAll(sizes.ToArbitrary(), size =>
        {
            TinyTensor[] tensors = [.. size.Item2.Select((rows, i) => Tensor($"t{i}", rows, size.inputs, (CheckpointDataType)((rows + i) % 3)))];
            return Naive(tensors).AsSpan().SequenceEqual(Written(tensors, TensorStreaming.WriteTransposedConcatenated));
        });
    }

    [Fact]
    public void Wide_results_come_in_several_bands()
    {
        TinyTensor[] tensors =
            [Tensor("q", 30011, 99, CheckpointDataType.F16), Tensor("k", 7, 99, CheckpointDataType.F32), Tensor("v", 20003, 99, CheckpointDataType.BF16)];
        Assert.True(Naive(tensors).AsSpan().SequenceEqual(Written(tensors, TensorStreaming.WriteTransposedConcatenated)));
    }

    [Fact]
    public void Shapes_that_do_not_fit_are_refused()
    {
        TinyTensor[] tensors =
        [
            Tensor("a", 3, 4, CheckpointDataType.F32), Tensor("b", 3, 5, CheckpointDataType.F32),
            new TinyTensor("c", [4], CheckpointDataType.F32, new float[4]),
        ];
        Written(tensors, (read, stream) =>
        {
            Assert.Contains("'b'", Assert.Throws<ArgumentException>(() => TensorStreaming.WriteTransposedConcatenated([read[0], read[1]], stream)).Message);
            Assert.Contains("'c'", Assert.Throws<ArgumentException>(() => TensorStreaming.WriteTransposed(read[2], stream)).Message);
            Assert.Throws<ArgumentOutOfRangeException>(() => TensorStreaming.WriteTransposedConcatenated([], stream));
        });
    }

    [Fact]
    public void Memory_stays_bounded()
    {
        // 400 MB as single precision.
        Assert.SkipUnless(OperatingSystem.IsLinux(), "Needs sparse files.");
        using var folder = new TemporaryFolder();
        byte[] start = TinyCheckpoint.Safetensors("""{"a":{"dtype":"F16","shape":[100000,1000],"data_offsets":[0,200000000]}}""", []);
        using (FileStream file = File.Create(folder.File("a.safetensors")))
        {
            file.Write(start);
            file.SetLength(start.Length + 200_000_000);
        }

        using SafetensorsFile opened = SafetensorsFile.Open(folder.File("a.safetensors"));
        using var counter = new CountingStream();
        long before = GC.GetAllocatedBytesForCurrentThread();
        var writer = new ElementWriter(counter, WeightFormat.Of(WeightPrecision.Float32));
        TensorStreaming.WriteTransposed(opened.Tensors[0], writer);
        TensorStreaming.Write(opened.Tensors[0], writer);
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 16 << 20);
        Assert.Equal(800_000_000, counter.Length);
    }

    [Fact]
    public void Every_half_and_bfloat16_widens_exactly()
    {
        ushort[] all = [.. Enumerable.Range(0, 65536).Select(value => (ushort)value)];
        var widened = new float[all.Length];
        Widening.FromHalf(MemoryMarshal.AsBytes(all.AsSpan()), widened);
        for (int i = 0; i < all.Length; i++)
        {
            float expected = (float)BitConverter.UInt16BitsToHalf(all[i]);
            Assert.True(
                float.IsNaN(expected) ? float.IsNaN(widened[i]) : BitConverter.SingleToInt32Bits(expected) == BitConverter.SingleToInt32Bits(widened[i]),
                $"{i:x}");
        }

        // An odd count, so that the scalar rest is used too.
        Widening.FromBFloat16(MemoryMarshal.AsBytes(all.AsSpan(1)), widened.AsSpan(1));
        for (int i = 1; i < all.Length; i++)
        {
            Assert.Equal((uint)i << 16, BitConverter.SingleToUInt32Bits(widened[i]));
        }
    }

    private static TinyTensor Tensor(string name, int rows, int columns, CheckpointDataType dataType) =>
        TinyTensor.Random(name, [rows, columns], dataType, new Random(rows + (1000 * columns)), 3);

    private static float[] Naive(IReadOnlyList<TinyTensor> tensors)
    {
        var result = new List<float>();
        for (int column = 0; column < tensors[0].Shape[1]; column++)
        {
            foreach (TinyTensor tensor in tensors)
            {
                for (int row = 0; row < tensor.Shape[0]; row++)
                {
                    result.Add(tensor.Values[(row * tensor.Shape[1]) + column]);
                }
            }
        }

        return [.. result];
    }

    private static float[] Written(IReadOnlyList<TinyTensor> tensors, Action<IReadOnlyList<CheckpointTensor>, ElementWriter> write)
    {
        using var folder = new TemporaryFolder();
        string path = folder.File("t.safetensors");
        File.WriteAllBytes(
            path, TinyCheckpoint.Safetensors(TinyCheckpoint.Header(tensors).ToJsonString(), [.. tensors.SelectMany(tensor => tensor.ToBytes())]));
        using SafetensorsFile file = SafetensorsFile.Open(path);
        using var stream = new MemoryStream();
        write(file.Tensors, new ElementWriter(stream, WeightFormat.Of(WeightPrecision.Float32)));
        return MemoryMarshal.Cast<byte, float>(stream.ToArray()).ToArray();
    }

    private sealed class CountingStream : Stream
    {
        private long length;

        public override bool CanRead => false;

        public override bool CanSeek => false;

        public override bool CanWrite => true;

        public override long Length => length;

        public override long Position
        {
            get => length;
            set => throw new NotSupportedException();
        }

        public override void Write(ReadOnlySpan<byte> buffer) => length += buffer.Length;

        public override void Write(byte[] buffer, int offset, int count) => length += count;

        public override void Flush()
        {
        }

        public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();
    }
}
