using System.Numerics.Tensors;
using Microsoft.ML.EarlyExit.Exit;
using Microsoft.ML.EarlyExit.Exit.Pruning;
using Microsoft.ML.EarlyExit.Runtime;

namespace Microsoft.ML.EarlyExit.Head;

/// <summary>
/// The logits of one input over the full vocabulary, estimated by the screen and multiplied again with the rows themselves where that decides something: a
/// logit is no farther from its estimate than its row's error times ‖h‖. Serves one input after another; allocates nothing for them.
/// </summary>
/// <remarks>
/// <see cref="Settle"/>: the largest two logits, equals too, are those of the whole product to the bit. <see cref="Sum"/>: <c>Σ exp(z)</c>, and by how much
/// it can be wrong at most, which is what decides whether a token exits. <see cref="Narrow"/>: the same to <see cref="Tolerance"/> of the margin. There the
/// errors of many rows, each of them up or down by itself, are not taken as if all were against us: with σ = s ‖h‖ / 2 the error of one row's estimate, of
/// scale s, is sub-Gaussian (Hoeffding), so that of <c>Σ p</c> over the rows left is below <see cref="Deviations"/> · sqrt(Σ (p σ)²) but once in a billion.
/// <see cref="Rank"/>: the best k are those of the whole product. Where a tenth of the rows would not be enough, or for the margin a quarter, or something is
/// no number, the whole head is multiplied, and all is as without a screen.
/// </remarks>
/// <param name="head">The head.</param>
/// <param name="screen">Its screen.</param>
/// <param name="lane">Where loops are started from.</param>
/// <param name="found">Scratch of as many numbers as there are tokens; others of the same thread may use it in between.</param>
/// <param name="bounds">The same of floats.</param>
internal sealed class ScreenedLogits(LanguageModelHead head, HeadScreen screen, OnnxThreadPool.Lane lane, int[] found, float[] bounds)
{
    /// <summary>How far a margin of probabilities may be off.</summary>
    public const double Tolerance = 1e-5;

    // 2 exp(-x²/2) is 1e-9.
    private const double Deviations = 6.55;

    // An error of a row is at least 0.4 of what σ is made of: see HeadScreen.
    private const double Widening = 1 / (2 * 0.4);

    // expm1(x) ≤ x + x² up to there.
    private const double LargestExponent = 1.7;

    private const int Chunk = 512;

    // Logits below the largest that are multiplied before anything is added up, and by how much more each time.
    private const float FirstDepth = 4;
    private const float DepthStep = 1;

    private const int BorderSteps = 5;

    private readonly int _limit = screen.Rows / 10;
    private readonly ulong[] _exact = new ulong[(screen.Rows + 63) / 64];
    private ReadOnlyMemory<float> _input;
    private Memory<float> _logits;
    private float _norm;
    private int _exactCount;
    private double _sum;
    private double _errors;
    private double _squares;
    private double _excess;

    /// <summary>Rows that were multiplied again; all where the whole head was.</summary>
    public int ExactCount => _exactCount;

    /// <summary>Whether all logits are those of the rows themselves.</summary>
    public bool IsExact => _exactCount == screen.Rows;

    /// <summary><c>ln Σ exp(z)</c>, as of the last <see cref="Sum"/> or <see cref="Narrow"/>.</summary>
    public double LogSumExp { get; private set; }

    /// <summary>By how much of itself the sum can be wrong; 0 where it is as without a screen.</summary>
    public double SumError { get; private set; }

    /// <summary>Takes estimates, and makes the best two of them exact.</summary>
    /// <param name="input">The head's input, which stays where it is while more is asked.</param>
    /// <param name="logits">The estimates, likewise; what is exact takes their place.</param>
    /// <param name="touched">Ids whose logits will be changed before a token is chosen: they are exact too, and the best two of the others.</param>
    /// <param name="alsoTouched">Another of them; negative for none.</param>
    public void Settle(ReadOnlyMemory<float> input, Memory<float> logits, ReadOnlySpan<int> touched, int alsoTouched)
    {
        (_input, _logits, _exactCount) = (input, logits, 0);
        _exact.AsSpan().Clear();
        _norm = MathF.BitIncrement(TensorPrimitives.Norm(input.Span) * (1 + 1e-4f));
        if (!(_norm is > 1e-15f and < 1e15f))
        {
            MultiplyAll();
            return;
        }

        Span<float> values = logits.Span;
        int count = 0;
        foreach (int id in touched)
            Touch(id, values);
        if (alsoTouched >= 0)
            Touch(alsoTouched, values);
        count = FindBest(LogitScan.TwoLargest(Bounds(isUpper: false), without: []).Second, count, _limit);
        if (count > _limit)
            MultiplyAll();
        else
            Multiply(found.AsSpan(0, count));

        void Touch(int id, Span<float> values)
        {
            values[id] = float.NegativeInfinity;
            if (count <= _limit && TryMark(id))
                found[count++] = id;
        }
    }

    /// <summary>Adds up, and says how sure that is.</summary>
    public void Sum()
    {
        if (IsExact)
            return;
        if (screen.LargestError * _norm > LargestExponent)
        {
            MultiplyAll();
            return;
        }

        Span<float> values = _logits.Span;
        MultiplyAtLeast(TensorPrimitives.Max<float>(values) - FirstDepth);
        if (IsExact)
            return;
        float max = TensorPrimitives.Max<float>(values);
        Span<float> buffer = stackalloc float[Chunk];
        (_sum, _errors, _squares, _excess) = (0, 0, 0, 0);
        for (int start = 0; start < values.Length; start += Chunk)
        {
            ReadOnlySpan<float> part = values.Slice(start, Math.Min(Chunk, values.Length - start));
            Span<float> exponentials = buffer[..part.Length];
            TensorPrimitives.Subtract(part, max, exponentials);
            TensorPrimitives.Exp(exponentials, exponentials);
            _sum += TensorPrimitives.Sum<float>(exponentials);
            ReadOnlySpan<float> errors = screen.Errors.Slice(start, part.Length);
            MultiplyEstimated(exponentials, errors, start);
            _errors += TensorPrimitives.Sum<float>(exponentials);
            _squares += TensorPrimitives.SumOfSquares<float>(exponentials);
            MultiplyEstimated(exponentials, errors, start);
            _excess += TensorPrimitives.Sum<float>(exponentials);
        }

        Conclude(max);
    }

    /// <summary>Multiplies numbers with the errors of their rows, of which those that are exact have none.</summary>
    private void MultiplyEstimated(Span<float> values, ReadOnlySpan<float> errors, int start)
    {
        TensorPrimitives.Multiply(values, errors, values);
        for (int word = start / 64; word < (start + values.Length + 63) / 64; word++)
        {
            for (ulong bits = _exact[word]; bits != 0; bits &= bits - 1)
                values[(word * 64) + (int)ulong.TrailingZeroCount(bits) - start] = 0;
        }
    }

    /// <summary>After <see cref="Sum"/>: multiplies rows again, the likeliest first, until the margin is within <see cref="Tolerance"/>.</summary>
    /// <param name="margin">The margin as it is estimated.</param>
    public void Narrow(double margin)
    {
        if (IsExact)
            return;
        float max = TensorPrimitives.Max<float>(_logits.Span);
        for (float depth = FirstDepth + DepthStep; !IsExact && margin * DeviationOfSum() > Tolerance; depth += DepthStep)
            MultiplyAtLeast(max - depth, max, screen.Rows / 4);
        if (IsExact)
            return;

        // On average the exponential of an error is not 1 but 1 + σ²/2.
        _sum -= Math.Max(0, _excess) * _norm * _norm / (2 * screen.Width);
        Conclude(max);
        SumError = 0;
    }

    /// <summary>Makes the best logits exact, equals too, so that they are those of the whole product.</summary>
    /// <param name="count">How many.</param>
    public void Rank(int count)
    {
        if (IsExact)
            return;
        if (count > screen.Rows / 2)
        {
            MultiplyAll();
            return;
        }

        // As many logits are certainly as large as the lower of these; the steps bring the two together.
        float high = TopK.NearBorder(_logits.Span, count);
        float low = MathF.BitDecrement(high - (screen.LargestError * _norm * (1 + 1e-6f)));
        ReadOnlySpan<float> least = Bounds(isUpper: false);
        for (int step = 0; step < BorderSteps; step++)
        {
            float middle = (low + high) / 2;
            if (LogitScan.CountAtLeast(least, middle) >= count)
                low = middle;
            else
                high = middle;
        }

        int limit = Math.Min(count + _limit, screen.Rows / 2);
        int reaching = FindBest(low, 0, limit);
        if (reaching > limit)
            MultiplyAll();
        else
            Multiply(found.AsSpan(0, reaching));
    }

    /// <summary>Multiplies the whole head.</summary>
    public void MultiplyAll()
    {
        head.Multiply(lane, _input.Span, 1, _logits.Span);
        _exactCount = screen.Rows;
        (LogSumExp, SumError) = (double.NaN, 0);
    }

    private void Conclude(float max)
    {
        LogSumExp = max + Math.Log(_sum);
        SumError = Math.Max(0, _errors) * _norm * (1 + (screen.LargestError * _norm)) / _sum * (1 + 1e-3);
    }

    /// <summary>How much of itself the sum is off, but once in a billion.</summary>
    private double DeviationOfSum()
    {
        double deviation = Widening * _norm / Math.Sqrt(screen.Width);
        return Deviations * deviation * Math.Sqrt(Math.Max(0, _squares)) / _sum;
    }

    /// <summary>Multiplies the rows again whose estimates are at least as large as a border.</summary>
    private void MultiplyAtLeast(float border, float max = float.NaN, int within = 0)
    {
        Span<float> values = _logits.Span;
        if (LogitScan.CountAtLeast(values, border) > Math.Max(within, _limit))
        {
            MultiplyAll();
            return;
        }

        ReadOnlySpan<int> ids = found.AsSpan(0, FindUnmarked(values, border, 0));
        if (!float.IsNaN(max))
            Account(ids, max, -1);
        Multiply(ids);
        if (!float.IsNaN(max) && !IsExact)
            Account(ids, max, 1);
    }

    /// <summary>Takes rows out of what is added up, or puts them back in as exact ones.</summary>
    private void Account(ReadOnlySpan<int> ids, float max, int sign)
    {
        ReadOnlySpan<float> values = _logits.Span;
        ReadOnlySpan<float> errors = screen.Errors;
        foreach (int id in ids)
        {
            double exponential = Math.Exp(values[id] - max);
            _sum += sign * exponential;
            if (sign > 0)
                continue;
            _errors -= exponential * errors[id];
            _squares -= exponential * errors[id] * (exponential * errors[id]);
            _excess -= exponential * errors[id] * errors[id];
        }
    }

    /// <summary>Multiplies marked rows; all where one of them is no number.</summary>
    private void Multiply(ReadOnlySpan<int> ids)
    {
        Span<float> values = _logits.Span;
        head.MultiplyRows(lane, ids, _input.Span, values);
        _exactCount += ids.Length;
        foreach (int id in ids)
        {
            if (float.IsFinite(values[id]))
                continue;
            MultiplyAll();
            return;
        }
    }

    private bool TryMark(int id)
    {
        ref ulong word = ref _exact[id >> 6];
        ulong bit = 1UL << id;
        if ((word & bit) != 0)
            return false;
        word |= bit;
        return true;
    }

    /// <summary>What all logits are at least, or at most; until it is asked again.</summary>
    private ReadOnlySpan<float> Bounds(bool isUpper)
    {
        TensorPrimitives.MultiplyAdd(screen.Errors, isUpper ? _norm : -_norm, _logits.Span, bounds);
        return bounds;
    }

    /// <summary>Finds the rows, and marks them, whose logits can be as large as a border.</summary>
    /// <returns>How many are found, with those that were; more than the limit where that is too many.</returns>
    private int FindBest(float border, int count, int limit)
    {
        ReadOnlySpan<float> most = Bounds(isUpper: true);
        return LogitScan.CountAtLeast(most, border) - _exactCount > limit ? limit + 1 : FindUnmarked(most, border, count);
    }

    /// <summary>Finds the rows that are not marked, and marks them, whose numbers are as large as a border.</summary>
    /// <returns>How many are found, with those that were.</returns>
    private int FindUnmarked(ReadOnlySpan<float> numbers, float border, int count)
    {
        Span<int> places = found.AsSpan(count);
        foreach (int id in places[..LogitScan.FindAtLeast(numbers, border, places)])
        {
            if (TryMark(id))
                found[count++] = id;
        }

        return count;
    }
}
