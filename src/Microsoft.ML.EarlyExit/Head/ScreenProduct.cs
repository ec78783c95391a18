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
    // Rows that stay in the nearest cache while they are multiplied with one input after another.
    private const int PartRows = 64;

    private NativeBuffer? _rounded;
    private NativeBuffer? _scales;
    private NativeBuffer? _parts;

    /// <summary>Computes inputs [count, d] → estimates [count, V].</summary>
    /// <param name="inputs">The inputs.</param>
    /// <param name="count">How many.</param>
    /// <param name="isFine">Whether inputs are taken as the sum of two numbers of 16 bits rather than as one: what rounding the input does to a logit is alike
    /// for all rows, and so does not cancel in a sum over them.</param>
    /// <param name="estimates">Takes the products.</param>
    public void Run(ReadOnlySpan<float> inputs, int count, bool isFine, Span<float> estimates) =>
        Run(screen.Values, inputs, count, isFine, estimates);

    /// <summary>Computes what is to be added to the fine estimates of one input [d] for what the screen's bytes leave of the rows: [V].</summary>
    public void RunRest(ReadOnlySpan<float> input, Span<float> products)
    {
        Run(screen.Rest(lane), input, 1, isFine: false, products);
        TensorPrimitives.Multiply(products, 1f / HeadScreen.RestUnits, products);
    }

    public void Dispose()
    {
        _rounded?.Dispose();
        _scales?.Dispose();
        _parts?.Dispose();
        (_rounded, _scales, _parts) = (null, null, null);
    }

    private void Run(sbyte* values, ReadOnlySpan<float> inputs, int count, bool isFine, Span<float> estimates)
    {
        int width = screen.Width;
        ArgumentOutOfRangeException.ThrowIfLessThan<long>(inputs.Length, (long)count * width);
        ArgumentOutOfRangeException.ThrowIfLessThan<long>(estimates.Length, (long)count * screen.Rows);
        int parts = isFine ? 2 : 1;
        Reserve(count * parts);
        var rounded = (short*)_rounded!.Address;
        var inputScales = (float*)_scales!.Address;
        fixed (float* whole = inputs)
        {
            if (!isFine)
                IntegerKernel.Round(whole, width, count, 0, (count + IntegerKernel.InputTile - 1) / IntegerKernel.InputTile, rounded, inputScales);
            for (int index = 0; index < count && isFine; index++)
            {
                Split(inputs.Slice(index * width, width));
                IntegerKernel.Round((float*)_parts!.Address, width, 2, 0, 1, rounded + (2L * index * width), inputScales + (2 * index));
            }
        }

        fixed (float* output = estimates)
        {
            var run = new Product
            {
                Values = values,
                RowScales = screen.Scales,
                Inputs = rounded,
                InputScales = inputScales,
                Estimates = output,
                Width = width,
                Rows = screen.Rows,
                Count = count,
                Parts = parts,
                Chunks = chunks,
            };
            lane.Run(&MultiplyChunk, &run, chunks);
        }
    }

    private void Reserve(int inputs)
    {
        if (_scales is not null && _scales.Bytes >= inputs * sizeof(float))
            return;
        _rounded?.Dispose();
        _scales?.Dispose();
        _rounded = new NativeBuffer((long)inputs * screen.Width * sizeof(short));
        _scales = new NativeBuffer((long)inputs * sizeof(float));
        _parts ??= new NativeBuffer(2L * screen.Width * sizeof(float));
    }

    /// <summary>Puts an input, and behind it what rounding leaves of it.</summary>
    private void Split(ReadOnlySpan<float> input)
    {
        Span<float> rest = _parts!.Span<float>(input.Length, input.Length);
        input.CopyTo(_parts.Span<float>(0, input.Length));
        float scale = Rounding.Scale(input, IntegerKernel.LargestInput, out float inverse);
        for (int at = 0; at < input.Length; at++)
            rest[at] = MathF.FusedMultiplyAdd(-MathF.Round(input[at] * inverse), scale, input[at]);
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void MultiplyChunk(void* state, nuint chunk)
    {
        var run = (Product*)state;
        int first = (int)((long)run->Rows * (int)chunk / run->Chunks);
        int end = (int)((long)run->Rows * ((int)chunk + 1) / run->Chunks);
        if (run->Count > 1 && run->Parts == 1)
        {
            IntegerKernel.Multiply(
                run->Values, run->RowScales, run->Width, run->Width, first, end, run->Inputs, run->InputScales, run->Count, run->Estimates, run->Rows);
            return;
        }

        int step = run->Count == 1 ? end - first : PartRows;
        for (; first < end; first += step)
        {
            for (int input = 0; input < run->Count; input++)
            {
                ScreenKernel.Multiply(
                    run->Values, run->RowScales, run->Width, first, Math.Min(first + step, end), run->Inputs + ((long)input * run->Parts * run->Width),
                    run->InputScales + (input * run->Parts), run->Parts, run->Estimates + ((long)input * run->Rows));
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
        public int Parts;
        public int Chunks;
    }
}
