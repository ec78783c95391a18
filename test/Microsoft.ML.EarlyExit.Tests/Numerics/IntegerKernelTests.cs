using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using FsCheck;
using FsCheck.Fluent;
using FsCheck.Xunit;
using Microsoft.ML.EarlyExit.Numerics;

namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>Products of whole numbers, in every width of vectors that the machine has, against their definition.</summary>
public sealed unsafe class IntegerKernelTests
{
    public enum Width
    {
        Scalar,
        Vector128,
        Vector256,
        Vector512,
        Machine,
    }

    public static TheoryData<Width> Widths => [.. Enum.GetValues<Width>().Where(IsSupported)];

    [Theory]
    [MemberData(nameof(Widths))]
    public void Rows_of_eight_bits_give_their_definition_to_the_bit(Width width)
    {
        foreach ((int columns, int block) in (ReadOnlySpan<(int, int)>)[(24, 24), (1, 1), (128, 64), (1000, 1000), (1100, 1100), (2048, 128), (1536, 512)])
        {
            foreach ((int rows, int inputs) in (ReadOnlySpan<(int, int)>)[(1, 1), (13, 4), (26, 7), (5, 9), (12, 3)])
                Problem.Random(columns, block, rows, inputs, Kind.Rows8).Check(width);
        }
    }

    [Theory]
    [MemberData(nameof(Widths))]
    public void Rows_of_four_bits_give_their_definition_to_the_bit(Width width)
    {
        foreach ((int columns, int block) in (ReadOnlySpan<(int, int)>)[(64, 64), (192, 64), (2048, 128), (1280, 256)])
        {
            foreach ((int rows, int inputs) in (ReadOnlySpan<(int, int)>)[(1, 1), (13, 4), (26, 7), (5, 9), (12, 3)])
                Problem.Random(columns, block, rows, inputs, Kind.Rows4).Check(width);
        }
    }

    [Theory]
    [MemberData(nameof(Widths))]
    public void Panels_give_their_definition(Width width)
    {
        foreach (int columns in (ReadOnlySpan<int>)[1, 24, 64, 250, 256, 1000, 2048, 3000])
        {
            foreach ((int rows, int inputs) in (ReadOnlySpan<(int, int)>)[(1, 1), (13, 4), (26, 7), (5, 9), (12, 3)])
                Problem.Random(columns, columns, rows, inputs, Kind.Panels).Check(width);
        }
    }

    [Theory]
    [MemberData(nameof(Widths))]
    public void Panels_give_their_definition_whether_or_not_a_few_products_fit_sixteen_bits(Width width)
    {
        var random = new Random(5);
        foreach (Func<int, int> weight in (ReadOnlySpan<Func<int, int>>)[
            _ => 127, _ => -128, column => column % 2 == 0 ? 127 : -128, column => column % 4 < 2 ? -128 : 127,
            // Eight weights of these go just into sixteen bits, and with one more do not.
            _ => 65, _ => -65, _ => 66, column => column % 2 == 0 ? 65 : -65, column => column % 16 == 5 ? 66 : 65, column => column % 256 == 255 ? -66 : 65,
            // One run of a row is such that all of its tile's are taken the other way.
            column => column is >= 300 and < 310 ? 127 : random.Next(-20, 21)])
        {
            foreach (int sign in (ReadOnlySpan<int>)[1, -1])
            {
                Problem problem = Problem.Random(700, 700, 40, 3, Kind.Panels);
                for (int index = 0; index < problem.Numbers.Length; index++)
                    problem.Numbers[index] = (sbyte)weight(index % 700);
                // The largest inputs, with the sign of the weights or all with the same.
                for (int index = 0; index < problem.Inputs.Length; index++)
                    problem.Inputs[index] = sign * (index < 700 ? Math.Sign(problem.Numbers[index]) : index < 1400 ? 1 : random.NextSingle() - 0.5f);
                problem.Check(width);
            }
        }
    }

    [Property(MaxTest = 60)]
    public Property Panels_of_weights_of_any_size_give_their_definition() => Prop.ForAll(
        (from largest in Gen.Choose(30, 127)
         from columns in Gen.Choose(1, 600)
         from rows in Gen.Choose(1, 70)
         from width in Gen.Elements(Enum.GetValues<Width>().Where(IsSupported))
         select (largest, columns, rows, width)).ToArbitrary(),
        one =>
        {
            Problem problem = Problem.Random(one.columns, one.columns, one.rows, 2, Kind.Panels);
            for (int index = 0; index < problem.Numbers.Length; index++)
                problem.Numbers[index] = (sbyte)(problem.Numbers[index] * one.largest / 127);
            problem.Check(one.width);
        });

    [Property(MaxTest = 60)]
    public Property Any_shape_gives_its_definition() => Prop.ForAll(
        (from kind in Gen.Elements(Enum.GetValues<Kind>())
         from blocks in Gen.Choose(1, 5)
         from block in kind == Kind.Rows4 ? Gen.Choose(1, 4).Select(count => count * IntegerKernel.BlockMultiple)
             : kind == Kind.Rows8 ? Gen.Choose(1, 12).Select(count => count * IntegerKernel.BlockMultiple) : Gen.Choose(1, 700)
         from rows in Gen.Choose(1, 40)
         from inputs in Gen.Choose(1, 20)
         from width in Gen.Elements(Enum.GetValues<Width>().Where(IsSupported))
         select (kind, columns: kind == Kind.Panels ? block : block * blocks, block, rows, inputs, width)).ToArbitrary(),
        one => Problem.Random(one.columns, one.block, one.rows, one.inputs, one.kind).Check(one.width));

    [Theory]
    [MemberData(nameof(Widths))]
    public void The_largest_numbers_do_not_overflow(Width width)
    {
        foreach (Kind kind in Enum.GetValues<Kind>())
        {
            int block = kind == Kind.Rows4 ? NibbleKernel.LargestBlock : 4096;
            Problem problem = Problem.Random(block, block, 2, 5, kind);
            problem.Numbers.AsSpan().Fill(kind == Kind.Rows4 ? (sbyte)-8 : (sbyte)-127);
            problem.Inputs.AsSpan().Fill(3.5f);
            problem.Check(width);
            problem.Numbers.AsSpan().Fill(kind == Kind.Rows4 ? (sbyte)7 : (sbyte)127);
            problem.Inputs.AsSpan().Fill(-3.5f);
            problem.Check(width);
        }
    }

    [Theory]
    [InlineData(float.NaN)]
    [InlineData(float.PositiveInfinity)]
    [InlineData(float.NegativeInfinity)]
    public void An_input_that_is_not_finite_gives_nan_and_leaves_the_others_alone(float value)
    {
        foreach (Kind kind in Enum.GetValues<Kind>())
        {
            Problem problem = Problem.Random(320, kind == Kind.Panels ? 320 : 64, 14, 6, kind);
            float[] expected = problem.Run(Width.Machine);
            problem.Inputs[(2 * 320) + 300] = value;
            float[] found = problem.Run(Width.Machine);
            for (int index = 0; index < found.Length; index++)
            {
                if (index / 14 == 2)
                    Assert.Equal(float.NaN, found[index]);
                else
                    Assert.Equal(expected[index], found[index]);
            }
        }
    }

    [Fact]
    public void An_input_of_zeros_or_of_what_is_next_to_nothing_gives_zeros()
    {
        foreach (Kind kind in Enum.GetValues<Kind>())
        {
            Problem problem = Problem.Random(128, kind == Kind.Panels ? 128 : 64, 3, 2, kind);
            problem.Inputs.AsSpan(0, 128).Clear();
            problem.Inputs.AsSpan(128, 128).Fill(float.Epsilon);
            Assert.All(problem.Run(Width.Machine), product => Assert.Equal(0, product));
        }
    }

    [Fact]
    public void An_inputs_products_are_the_same_to_the_bit_beside_any_others()
    {
        foreach (Kind kind in Enum.GetValues<Kind>())
        {
            Problem together = Problem.Random(640, kind == Kind.Panels ? 640 : 128, 31, 11, kind);
            float[] all = together.Run(Width.Machine);
            for (int input = 0; input < 11; input++)
                Assert.Equal(all[(input * 31)..((input + 1) * 31)], together.Only(input).Run(Width.Machine));
        }
    }

    [Fact]
    public void Rounding_to_sixteen_bits_loses_little()
    {
        Problem problem = Problem.Random(1024, 128, 20, 5, Kind.Rows8);
        float[] found = problem.Run(Width.Machine);
        for (int index = 0; index < found.Length; index++)
        {
            double exact = 0, size = 0;
            for (int column = 0; column < 1024; column++)
            {
                double product = problem.Weight(index % 20, column) * problem.Inputs[(index / 20 * 1024) + column];
                exact += product;
                size += product * product;
            }

            Assert.Equal(exact, found[index], 1e-3 * Math.Sqrt(size));
        }
    }

    private static bool IsSupported(Width width) => width switch
    {
        Width.Vector256 => System.Runtime.Intrinsics.X86.Avx2.IsSupported,
        Width.Vector512 => System.Runtime.Intrinsics.X86.Avx512BW.IsSupported,
        _ => true,
    };

    public enum Kind
    {
        Rows8,
        Rows4,
        Panels,
    }

    private sealed class Problem(int columns, int block, int rows, int inputs, Kind kind)
    {
        // Values of an input of a panel that have one scale.
        private const int PanelRun = 256;

        public sbyte[] Numbers { get; } = new sbyte[rows * columns];

        public float[] Scales { get; } = new float[rows * (columns / block)];

        public float[] Inputs { get; } = new float[inputs * columns];

        public static Problem Random(int columns, int block, int rows, int inputs, Kind kind)
        {
            var problem = new Problem(columns, block, rows, inputs, kind);
            var random = new Random(columns + (7 * rows) + (31 * inputs));
            for (int index = 0; index < problem.Numbers.Length; index++)
                problem.Numbers[index] = kind == Kind.Rows4 ? (sbyte)random.Next(-8, 8) : (sbyte)random.Next(-127, 128);
            for (int index = 0; index < problem.Scales.Length; index++)
                problem.Scales[index] = 0.001f + random.NextSingle();
            for (int index = 0; index < problem.Inputs.Length; index++)
                problem.Inputs[index] = (random.NextSingle() - 0.5f) * (index % 37 == 0 ? 100 : 1);
            return problem;
        }

        public Problem Only(int input)
        {
            var one = new Problem(columns, block, rows, 1, kind);
            Numbers.CopyTo(one.Numbers, 0);
            Scales.CopyTo(one.Scales, 0);
            Inputs.AsSpan(input * columns, columns).CopyTo(one.Inputs);
            return one;
        }

        public double Weight(int row, int column) => Numbers[(row * columns) + column] * (double)Scales[(row * (columns / block)) + (column / block)];

        public void Check(Width width) => Assert.Equal(Expected(width), Run(width));

        public float[] Run(Width width) => width switch
        {
            Width.Scalar => Run<IntegerScalar, int>(),
            Width.Vector128 => Run<Integer128, Vector128<int>>(),
            Width.Vector256 => Run<Integer256, Vector256<int>>(),
            Width.Vector512 when kind == Kind.Rows4 => Run<Integer256, Vector256<int>>(),
            Width.Vector512 => Run<Integer512, Vector512<int>>(),
            _ => RunOnMachine(),
        };

        private float[] Run<TSimd, TVector>()
            where TSimd : struct, IIntegerOperations<TVector>
            where TVector : struct => Run(
                (values, scales, source, rounded, inputScales, outputs) =>
                {
                    int groups = (inputs + 3) / 4;
                    switch (kind)
                    {
                        case Kind.Rows8:
                            IntegerKernel.Round<TSimd, TVector>(source, columns, inputs, 0, groups, (short*)rounded, inputScales);
                            IntegerKernel.Multiply<TSimd, TVector>(
                                (sbyte*)values, scales, columns, block, 0, rows, (short*)rounded, inputScales, inputs, outputs, rows);
                            break;
                        case Kind.Rows4:
                            NibbleKernel.Round<TSimd, TVector>(source, columns, inputs, 0, groups, (short*)rounded, inputScales);
                            NibbleKernel.Multiply<TSimd, TVector>(
                                (byte*)values, scales, columns, block, 0, rows, (short*)rounded, inputScales, inputs, outputs, rows);
                            break;
                        default:
                            PanelKernel.Pack<TSimd, TVector>(source, columns, inputs, 0, groups, (byte*)rounded, inputScales);
                            PanelKernel.Multiply<TSimd, TVector>(
                                (sbyte*)values, scales, columns, 0, rows, (byte*)rounded, inputScales, inputs, outputs, rows);
                            break;
                    }
                });

        // In two parts, as threads share the work.
        private float[] RunOnMachine() => Run(
            (values, scales, source, rounded, inputScales, outputs) =>
            {
                int groups = (inputs + 3) / 4, half = rows / 2;
                switch (kind)
                {
                    case Kind.Rows8:
                        for (int group = 0; group < groups; group++)
                            IntegerKernel.Round(source, columns, inputs, group, group + 1, (short*)rounded, inputScales);
                        IntegerKernel.Multiply((sbyte*)values, scales, columns, block, half, rows, (short*)rounded, inputScales, inputs, outputs, rows);
                        IntegerKernel.Multiply((sbyte*)values, scales, columns, block, 0, half, (short*)rounded, inputScales, inputs, outputs, rows);
                        break;
                    case Kind.Rows4:
                        for (int group = 0; group < groups; group++)
                            NibbleKernel.Round(source, columns, inputs, group, group + 1, (short*)rounded, inputScales);
                        NibbleKernel.Multiply((byte*)values, scales, columns, block, half, rows, (short*)rounded, inputScales, inputs, outputs, rows);
                        NibbleKernel.Multiply((byte*)values, scales, columns, block, 0, half, (short*)rounded, inputScales, inputs, outputs, rows);
                        break;
                    default:
                        for (int group = 0; group < groups; group++)
                            PanelKernel.Pack(source, columns, inputs, group, group + 1, (byte*)rounded, inputScales);
                        PanelKernel.Multiply((sbyte*)values, scales, columns, half, rows, (byte*)rounded, inputScales, inputs, outputs, rows);
                        PanelKernel.Multiply((sbyte*)values, scales, columns, 0, half, (byte*)rounded, inputScales, inputs, outputs, rows);
                        break;
                }
            });

        private float[] Run(Kernel kernel)
        {
            // Not a byte more than the kernels may read or write.
            int numberBytes = kind == Kind.Rows4 ? Numbers.Length / 2 : Numbers.Length;
            long roundedBytes = kind switch
            {
                Kind.Panels => PanelKernel.PanelBytes(columns, inputs),
                Kind.Rows4 => NibbleKernel.RoundedBytes(columns, inputs),
                _ => 2L * Inputs.Length,
            };
            long scaleCount = kind == Kind.Panels ? PanelKernel.ScaleCount(columns, inputs) : inputs;
            byte* values = (byte*)NativeMemory.Alloc((nuint)numberBytes);
            byte* rounded = (byte*)NativeMemory.Alloc((nuint)roundedBytes);
            float* inputScales = (float*)NativeMemory.Alloc((nuint)scaleCount, sizeof(float));
            float[] outputs = new float[inputs * rows];
            try
            {
                for (int index = 0; index < numberBytes; index++)
                {
                    values[index] = kind == Kind.Rows4
                        ? (byte)((Numbers[2 * index] & 15) | (Numbers[(2 * index) + 1] << 4))
                        : (byte)Numbers[index];
                }

                fixed (float* scales = Scales, source = Inputs, output = outputs)
                    kernel(values, scales, source, rounded, inputScales, output);
                return outputs;
            }
            finally
            {
                NativeMemory.Free(values);
                NativeMemory.Free(rounded);
                NativeMemory.Free(inputScales);
            }
        }

        private float[] Expected(Width width)
        {
            (int zeroLimit, int run) = kind switch
            {
                Kind.Panels => (ByteLimit(width), PanelRun),
                Kind.Rows4 => (NibbleKernel.LargestInput, block),
                _ => (IntegerKernel.LargestInput, Math.Min(block, 512)),
            };
            float[] expected = new float[inputs * rows];
            for (int input = 0; input < inputs; input++)
            {
                float[] values = Inputs[(input * columns)..((input + 1) * columns)];
                for (int row = 0; row < rows; row++)
                    expected[(input * rows) + row] = kind == Kind.Panels ? Panel(values, row, zeroLimit) : Row(values, row, zeroLimit, run);
            }

            return expected;
        }

        private float Row(float[] values, int row, int limit, int run)
        {
            float scale = Rounding.Scale(values, limit, out float inverse);
            float total = 0;
            for (int start = 0; start < columns; start += block)
            {
                for (int from = start; from < start + block; from += run)
                {
                    long sum = 0;
                    for (int column = from; column < Math.Min(from + run, start + block); column++)
                        sum += Numbers[(row * columns) + column] * (long)MathF.Round(values[column] * inverse);
                    total += sum * Scales[(row * (columns / block)) + (start / block)];
                }
            }

            return total * scale;
        }

        private float Panel(float[] values, int row, int limit)
        {
            float total = 0;
            for (int start = 0; start < columns; start += PanelRun)
            {
                ReadOnlySpan<float> part = values.AsSpan(start, Math.Min(PanelRun, columns - start));
                float scale = Rounding.Scale(part, limit, out float inverse);
                long sum = 0;
                for (int column = 0; column < part.Length; column++)
                    sum += Numbers[(row * columns) + start + column] * (long)MathF.Round(part[column] * inverse);
                total += sum * scale;
            }

            return total * Scales[row];
        }

        private static int ByteLimit(Width width) => width switch
        {
            Width.Scalar => IntegerScalar.ByteLimit,
            Width.Vector128 => Integer128.ByteLimit,
            Width.Vector256 => Integer256.ByteLimit,
            Width.Vector512 => Integer512.ByteLimit,
            _ when System.Runtime.Intrinsics.X86.Avx2.IsSupported => Integer256.ByteLimit,
            _ => Integer128.ByteLimit,
        };

        private delegate void Kernel(byte* values, float* scales, float* source, byte* rounded, float* inputScales, float* outputs);
    }
}
