using System.Numerics.Tensors;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using Microsoft.ML.EarlyExit.Memory;
using Microsoft.ML.EarlyExit.Numerics;
using Microsoft.ML.EarlyExit.Runtime;

namespace Microsoft.ML.EarlyExit.Head;

/// <summary>
/// The LM head's rows in signed bytes, each with one scale, and how far a product with them can be from that with the row itself: for an input h, no farther
/// than the row's error times ‖h‖. A quarter of the bytes of single precision says which rows matter.
/// </summary>
/// <remarks>
/// Made of the rows when a model is loaded, so that a bundle holds none and none is to be trusted. An error is ‖w - w~‖ and what rounds when either product is
/// summed, or the input to 16 bits, by the usual worst case: a sum of n products of floats is off by no more than γ(n) Σ|a||b|, γ(n) = n u / (1 - n u),
/// u = 2^-24. A row that is no number, or too large or small to be sure of, has an infinite one.
/// <para>
/// Weights are rounded up or down at random, with a chance that makes each right on average: the errors of rows are then independent, whatever the rows are,
/// copies of one another too, and in a sum over many rows cancel as the bound of <see cref="ScreenedLogits"/> says.
/// </para>
/// </remarks>
internal sealed unsafe class HeadScreen : IDisposable
{
    private const int Largest = sbyte.MaxValue;

    // Beyond, a product could overflow that does not with the row itself.
    private const float LargestNorm = 1e15f;
    private const float SmallestWeight = 1e-15f;
    private const float SmallestNorm = 1e-15f;

    private readonly HeadWeights _weights;
    private readonly int _chunks;
    private readonly Lock _making = new();
    private readonly NativeBuffer _values;
    private readonly NativeBuffer _scales;
    private readonly NativeBuffer _errors;
    private volatile NativeBuffer? _rest;
    private NativeBuffer? _made;

    private HeadScreen(HeadWeights weights, int rows, int width, int chunks)
    {
        (_weights, _chunks) = (weights, chunks);
        (Rows, Width) = (rows, width);
        _values = new NativeBuffer((long)rows * width);
        _scales = new NativeBuffer((long)rows * sizeof(float));
        _errors = new NativeBuffer((long)rows * sizeof(float));
    }

    public int Rows { get; }

    public int Width { get; }

    /// <summary>expm1(x) ≤ x + x² up to there: what a sum of exponentials is off is bounded so.</summary>
    public const float LargestExponent = 1.7f;

    /// <summary>A unit of <see cref="Rest"/> is so much smaller than one of <see cref="Values"/>, and so is the error of a product with both.</summary>
    public const int RestUnits = Largest;

    /// <summary>The first row's bytes.</summary>
    public sbyte* Values => (sbyte*)_values.Address;

    /// <summary>What each row's products with the bytes are to be multiplied with.</summary>
    public float* Scales => (float*)_scales.Address;

    /// <summary>For each row, how far its products can be off, divided by the norm of the input.</summary>
    public ReadOnlySpan<float> Errors => _errors.Span<float>(0, Rows);

    /// <summary>The largest finite one of <see cref="Errors"/>.</summary>
    public float LargestError { get; private set; }

    /// <summary>The mean of the finite ones.</summary>
    public float TypicalError { get; private set; }

    /// <summary>Makes the screen of a head, on ONNX Runtime's threads.</summary>
    public static HeadScreen Make(HeadWeights weights, int rows, int width, OnnxThreadPool.Lane lane, int chunks)
    {
        var screen = new HeadScreen(weights, rows, width, chunks);
        lane.Run(&MakeChunk, screen, chunks);
        (float largest, double sum, int count) = (0, 0, 0);
        foreach (float error in screen.Errors)
        {
            if (float.IsFinite(error))
                (largest, sum, count) = (Math.Max(largest, error), sum + error, count + 1);
        }

        (screen.LargestError, screen.TypicalError) = (largest, (float)(sum / Math.Max(1, count)));
        return screen;
    }

    /// <summary>
    /// What the bytes of each row leave of it, in bytes again, rounded at random too: made when it is first asked for, which few need.
    /// </summary>
    /// <param name="lane">Where a loop is started from.</param>
    public sbyte* Rest(OnnxThreadPool.Lane lane)
    {
        if (_rest is null)
        {
            lock (_making)
            {
                if (_rest is null)
                {
                    _made = new NativeBuffer((long)Rows * Width);
                    lane.Run(&MakeRestOfChunk, this, _chunks);
                    _rest = _made;
                }
            }
        }

        return (sbyte*)_rest.Address;
    }

    /// <summary>What errors are to be multiplied with for an input; false for one that bounds do not hold for.</summary>
    public static bool TryNorm(ReadOnlySpan<float> input, out float norm)
    {
        norm = MathF.BitIncrement(TensorPrimitives.Norm(input) * (1 + 1e-4f));
        return norm is > SmallestNorm and < LargestNorm;
    }

    /// <summary>By how much of itself a sum of exponentials can be wrong.</summary>
    /// <param name="sum">The sum of all.</param>
    /// <param name="errors">That of the products with their errors.</param>
    /// <param name="excess">That of the products with the squares of their errors.</param>
    /// <param name="norm">What the errors are to be multiplied with.</param>
    public static double ErrorOfSum(double sum, double errors, double excess, float norm) =>
        ((errors * norm) + (excess * norm * norm)) / sum * (1 + 1e-3);

    /// <summary>Makes the bytes of one row.</summary>
    /// <param name="row">The weights.</param>
    /// <param name="seed">Says which way weights are rounded; another for every row.</param>
    /// <param name="values">The bytes.</param>
    /// <returns>The scale, and the error: infinite where the row is no number or too large.</returns>
    public static (float Scale, float Error) Quantize(ReadOnlySpan<float> row, uint seed, Span<sbyte> values)
    {
        float norm = TensorPrimitives.Norm(row);
        float largest = MathF.Abs(TensorPrimitives.MaxMagnitude(row));

        // A norm that is NaN is not small enough either. Squares of smaller weights underflow, and the norm with them.
        if (largest == 0 || largest < SmallestWeight || !(norm < LargestNorm))
        {
            values.Clear();
            return (0, largest == 0 ? 0 : float.PositiveInfinity);
        }

        float scale = largest / Largest;

        double squares = RoundAtRandom(row, scale, seed, values);

        // Errors of rounding at random have 0.41 of a scale's length per root of a weight; by less than 0.4 the bound of a sum does not hold.
        double error = Math.Max(Math.Sqrt(squares), 0.4 * scale * Math.Sqrt(row.Length));
        double rounding = (row.Length + 16) * Math.ScaleB(1, -24);
        error += ((2 * rounding / (1 - rounding)) + (0.51 / IntegerKernel.LargestInput * Math.Sqrt(row.Length))) * (norm + error);
        return (scale, (float)(error * (1 + 1e-4)));
    }

    public void Dispose()
    {
        _values.Dispose();
        _scales.Dispose();
        _errors.Dispose();
        _rest?.Dispose();
    }

    /// <returns>The sum of squares of what is off.</returns>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static double RoundAtRandom(ReadOnlySpan<float> row, float scale, uint seed, Span<sbyte> values)
    {
        const float Unit = 1f / (1 << 24);
        float inverse = 1 / scale;
        seed *= (uint)Vector256<float>.Count + 1;
        Vector256<uint> random = Vector256.Create(
            Scramble(seed), Scramble(seed + 1), Scramble(seed + 2), Scramble(seed + 3), Scramble(seed + 4), Scramble(seed + 5), Scramble(seed + 6),
            Scramble(seed + 7));
        Vector256<float> squares = Vector256<float>.Zero;
        int at = 0;
        for (; at + Vector256<float>.Count <= row.Length; at += Vector256<float>.Count)
        {
            // A generator of Marsaglia's; the upper bits are the good ones.
            random ^= random << 13;
            random ^= random >>> 17;
            random ^= random << 5;
            Vector256<float> weights = Vector256.Create(row[at..]);
            Vector256<float> chance = Vector256.ConvertToSingle((random >>> 8).AsInt32()) * Unit;
            Vector256<float> below = Vector256.Floor((weights * inverse) + chance);
            below = Vector256.Min(Vector256.Max(below, Vector256.Create((float)-Largest)), Vector256.Create((float)Largest));
            Vector256<float> off = Vector256.FusedMultiplyAdd(below, Vector256.Create(-scale), weights);
            squares += off * off;
            Vector256<int> whole = Vector256.ConvertToInt32(below);
            Vector128<short> narrow = Vector128.Narrow(whole.GetLower(), whole.GetUpper());
            MemoryMarshal.Write(MemoryMarshal.AsBytes(values[at..]), Vector128.Narrow(narrow, narrow).AsUInt64().ToScalar());
        }

        double sum = Vector256.Sum(squares);
        uint last = Scramble(seed + (uint)Vector256<float>.Count);
        for (; at < row.Length; at++)
        {
            last ^= last << 13;
            last ^= last >> 17;
            last ^= last << 5;
            int value = Math.Clamp((int)MathF.Floor((row[at] * inverse) + ((last >> 8) * Unit)), -Largest, Largest);
            values[at] = (sbyte)value;
            double off = row[at] - ((double)scale * value);
            sum += off * off;
        }

        return sum;
    }

    /// <summary>A number without 0, far from that of the next seed.</summary>
    private static uint Scramble(uint seed)
    {
        seed = (seed ^ 0x9E37_79B9) * 0x85EB_CA6B;
        seed = (seed ^ (seed >> 13)) * 0xC2B2_AE35;
        return (seed ^ (seed >> 16)) | 1;
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void MakeChunk(void* state, nuint chunk)
    {
        var screen = (HeadScreen)GCHandle.FromIntPtr((nint)state).Target!;
        float[] row = new float[screen.Width];
        for (int id = screen.First(chunk); id < screen.First(chunk + 1); id++)
        {
            screen._weights.CopyRow(id, row);
            (screen._scales.Span<float>(id, 1)[0], screen._errors.Span<float>(id, 1)[0]) =
                Quantize(row, (uint)id, screen._values.Span<sbyte>((long)id * screen.Width, screen.Width));
        }
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void MakeRestOfChunk(void* state, nuint chunk)
    {
        var screen = (HeadScreen)GCHandle.FromIntPtr((nint)state).Target!;
        float[] row = new float[screen.Width];
        for (int id = screen.First(chunk); id < screen.First(chunk + 1); id++)
        {
            screen._weights.CopyRow(id, row);
            long start = (long)id * screen.Width;
            ReadOnlySpan<sbyte> values = screen._values.Span<sbyte>(start, screen.Width);
            float scale = screen.Scales[id];
            for (int at = 0; at < row.Length; at++)
                row[at] = MathF.FusedMultiplyAdd(-scale, values[at], row[at]);
            Span<sbyte> rest = screen._made!.Span<sbyte>(start, screen.Width);
            if (float.IsFinite(screen.Errors[id]) && scale > 0)
                RoundAtRandom(row, scale / RestUnits, (uint)(id + screen.Rows), rest);
            else
                rest.Clear();
        }
    }

    private int First(nuint chunk) => (int)((long)Rows * (int)chunk / _chunks);
}
