using System.Numerics.Tensors;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Microsoft.ML.EarlyExit.Memory;
using Microsoft.ML.EarlyExit.Numerics;
using Microsoft.ML.EarlyExit.Runtime;

namespace Microsoft.ML.EarlyExit.Head;

/// <summary>Products of a screen with inputs, in chunks on ONNX Runtime's threads. For one caller at a time.</summary>
internal sealed unsafe class ScreenProduct(HeadScreen screen, OnnxThreadPool.Lane lane, int chunks) : IDisposable
{
    // Rows whose products with the two parts of some inputs are added up in the nearest cache.
    private const int PartRows = 96;
    private const int PartInputs = 8;

    private NativeBuffer? _rounded;
    private NativeBuffer? _scales;
    private NativeBuffer? _parts;

    /// <summary>Computes inputs [count, d] → estimates [count, V].</summary>
    /// <param name="inputs">The inputs.</param>
    /// <param name="count">How many.</param>
    /// <param name="isFine">Whether inputs are taken as the sum of two numbers of 16 bits rather than as one: what rounding the input does to a logit is alike
    /// for all rows, and so does not cancel in a sum over them.</param>
    /// <param name="estimates">Takes the products.</param>
    public void Run(ReadOnlySpan<float> inputs, int count, bool isFine, Span<float> estimates)
    {
        int width = screen.Width;
        ArgumentOutOfRangeException.ThrowIfLessThan<long>(inputs.Length, (long)count * width);
        ArgumentOutOfRangeException.ThrowIfLessThan<long>(estimates.Length, (long)count * screen.Rows);
        int parts = isFine ? 2 : 1;
        Reserve(count * parts);
        if (isFine)
            Split(inputs, count);
        fixed (float* whole = inputs)
        {
            float* source = isFine ? (float*)_parts!.Address : whole;
            int groups = ((count * parts) + IntegerKernel.InputTile - 1) / IntegerKernel.InputTile;
            IntegerKernel.Round(source, width, count * parts, 0, groups, (short*)_rounded!.Address, (float*)_scales!.Address);
        }

        fixed (float* output = estimates)
        {
            var run = new Product
            {
                Values = screen.Values,
                RowScales = screen.Scales,
                Inputs = (short*)_rounded!.Address,
                InputScales = (float*)_scales!.Address,
                Estimates = output,
                Width = width,
                Rows = screen.Rows,
                Count = count,
                IsFine = isFine,
                Chunks = chunks,
            };
            lane.Run(&MultiplyChunk, &run, chunks);
        }
    }

    public void Dispose()
    {
        _rounded?.Dispose();
        _scales?.Dispose();
        _parts?.Dispose();
        (_rounded, _scales, _parts) = (null, null, null);
    }

    private void Reserve(int inputs)
    {
        if (_scales is not null && _scales.Bytes >= inputs * sizeof(float))
            return;
        Dispose();
        _rounded = new NativeBuffer((long)inputs * screen.Width * sizeof(short));
        _scales = new NativeBuffer((long)inputs * sizeof(float));
        _parts = new NativeBuffer((long)inputs * screen.Width * sizeof(float));
    }

    /// <summary>Puts each input, and behind it what rounding leaves of it.</summary>
    private void Split(ReadOnlySpan<float> inputs, int count)
    {
        int width = screen.Width;
        Span<float> parts = _parts!.Span<float>(0, 2 * count * width);
        for (int index = 0; index < count; index++)
        {
            ReadOnlySpan<float> input = inputs.Slice(index * width, width);
            Span<float> rest = parts.Slice(((2 * index) + 1) * width, width);
            input.CopyTo(parts.Slice(2 * index * width, width));
            float scale = Rounding.Scale(input, IntegerKernel.LargestInput, out float inverse);
            for (int at = 0; at < width; at++)
                rest[at] = MathF.FusedMultiplyAdd(-MathF.Round(input[at] * inverse), scale, input[at]);
        }
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void MultiplyChunk(void* state, nuint chunk)
    {
        var run = (Product*)state;
        int first = (int)((long)run->Rows * (int)chunk / run->Chunks);
        int end = (int)((long)run->Rows * ((int)chunk + 1) / run->Chunks);
        if (!run->IsFine)
        {
            IntegerKernel.Multiply(
                run->Values, run->RowScales, run->Width, run->Width, first, end, run->Inputs, run->InputScales, run->Count, run->Estimates, run->Rows);
            return;
        }

        float* products = stackalloc float[2 * PartInputs * PartRows];
        for (; first < end; first += PartRows)
        {
            int rows = Math.Min(PartRows, end - first);
            for (int input = 0; input < run->Count; input += PartInputs)
            {
                int inputs = Math.Min(PartInputs, run->Count - input);
                IntegerKernel.Multiply(
                    run->Values, run->RowScales, run->Width, run->Width, first, first + rows, run->Inputs + (2L * input * run->Width),
                    run->InputScales + (2 * input), 2 * inputs, products - first, PartRows);
                for (int index = 0; index < inputs; index++)
                {
                    TensorPrimitives.Add(
                        new ReadOnlySpan<float>(products + (2 * index * PartRows), rows),
                        new ReadOnlySpan<float>(products + (((2 * index) + 1) * PartRows), rows),
                        new Span<float>(run->Estimates + ((long)(input + index) * run->Rows) + first, rows));
                }
            }
        }
    }

    private struct Product
    {
        public sbyte* Values;
        public float* RowScales;
        public short* Inputs;
        public float* InputScales;
        public float* Estimates;
        public int Width;
        public int Rows;
        public int Count;
        public bool IsFine;
        public int Chunks;
    }
}
