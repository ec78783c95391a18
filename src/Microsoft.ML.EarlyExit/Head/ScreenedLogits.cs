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
/// scale s, is sub-Gaussian (Hoeffding), so that of <c>Σ p</c> over the rows left is below <see cref="Deviations"/> · sqrt(Σ (p σ)²) but once in a billion;
/// beside it stands what the choice of rows by their estimates adds.
/// Where a tenth of the rows would not be enough, what the screen's bytes leave of all rows is added, which makes the errors so much smaller.
/// <see cref="Rank"/>: the best k are those of the whole product. Where a tenth of the rows is not enough for something else, or something is no number, the
/// whole head is multiplied, and all is as without a screen.
/// </remarks>
/// <param name="head">The head.</param>
/// <param name="screen">Its screen.</param>
/// <param name="estimates">What multiplies with it.</param>
/// <param name="lane">Where loops are started from.</param>
/// <param name="found">Scratch of as many numbers as there are tokens; others of the same thread may use it in between.</param>
/// <param name="bounds">The same of floats.</param>
internal sealed class ScreenedLogits(
    LanguageModelHead head, HeadScreen screen, ScreenProduct estimates, OnnxThreadPool.Lane lane, int[] found, float[] bounds)
{
    /// <summary>How far a margin of probabilities may be off.</summary>
    public const double Tolerance = 1e-5;

    // 2 exp(-x²/2) is 1e-9.
    private const double Deviations = 6.55;

    // An error of a row is at least 0.4 of what σ is made of: see HeadScreen.
    private const double Widening = 1 / (2 * 0.4);

    // Logits so far below the largest are multiplied before anything is added up.
    private const float FirstDepth = 4;

    // What is left of the tolerance once more rows have changed the sum, and how often that may not have been enough.
    private const double Share = 0.7;
    private const int MostTurns = 5;

    // How far below a border rows count as near it, and no more than what the mean of an error left there is, both in σ.
    private const double NearDeviations = 6;
    private const double MeanOfLeft = 0.8;

    private const int WideningSteps = 8;
    private const int BorderSteps = 3;

    private readonly int _limit = screen.Rows / 10;
    private readonly ulong[] _exact = new ulong[(screen.Rows + 63) / 64];
    private ReadOnlyMemory<float> _input;
    private Memory<float> _logits;
    private float _norm;
    private int _exactCount;

    // Of an estimate's error, what is left of it once the rests of rows are added.
    private double _errorShare;
    private float _max;
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
        (_input, _logits, _exactCount, _errorShare) = (input, logits, 0, 1);
        _exact.AsSpan().Clear();
        if (!HeadScreen.TryNorm(input.Span, out _norm))
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
        float second = EstimateScan.SecondLeast(values, screen.Errors, _norm);
        count = float.IsFinite(second) ? FindBest(second, count, _limit) : _limit + 1;
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
        if (screen.LargestError * _norm > HeadScreen.LargestExponent)
            MultiplyFound(LogitScan.FindAtLeast(screen.Errors, HeadScreen.LargestExponent / _norm, found), _limit);
        if (!IsExact)
        {
            ReadOnlySpan<float> values = _logits.Span;
            MultiplyFound(LogitScan.FindAtLeast(values, TensorPrimitives.Max(values) - FirstDepth, found), _limit);
        }

        if (IsExact)
            return;
        AddUp();
        SumError = HeadScreen.ErrorOfSum(_sum, _errors, _excess, _norm);
    }

    /// <summary>After <see cref="Sum"/>: multiplies rows again, those first that matter most, until the margin is within <see cref="Tolerance"/>.</summary>
    /// <param name="margin">The margin as it is estimated.</param>
    public void Narrow(double margin)
    {
        if (IsExact)
            return;
        double bias = 0;
        double share = Share;
        for (int turn = 0; !IsExact; turn++, share /= 2)
        {
            // σ of an estimate, in errors of its row.
            double sigma = _errorShare * Widening * _norm / Math.Sqrt(screen.Width);
            if (margin * sigma * ((Deviations * Math.Sqrt(_squares)) + bias) <= Tolerance * _sum)
                break;
            if (turn == MostTurns)
            {
                MultiplyAll();
                return;
            }

            // Later they are there since the sum.
            if (turn == 0)
                TakeExponentials();
            TensorPrimitives.Multiply(bounds, screen.Errors, bounds);
            double left = share * Tolerance * _sum / (margin * sigma * Deviations);
            float border = (float)(left / Math.Sqrt(screen.Rows));
            while (EstimateScan.SquaresBelow(bounds, 2 * border) <= left * left)
                border *= 2;
            int count = LogitScan.FindAtLeast(bounds, border, found);
            if (count <= _limit)
            {
                // Of rows about the border those that are estimated too high are taken and the others left: their errors do not cancel.
                float near = border * (float)Math.Exp(-NearDeviations * sigma * screen.TypicalError);
                bias = MeanOfLeft * border * (LogitScan.CountAtLeast(bounds, near) - count);
                MultiplyFound(count, _limit);
            }
            else if (_errorShare == 1)
            {
                AddRest();
                bias = 0;
            }
            else
                MultiplyAll();
            if (!IsExact)
                AddUp();
        }

        if (IsExact)
            return;

        // On average the exponential of an error is not 1 but 1 + σ²/2.
        _sum -= _errorShare * _errorShare * _excess * _norm * _norm / (2 * screen.Width);
        (LogSumExp, SumError) = (_max + Math.Log(_sum), 0);
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
        float width = screen.TypicalError * _norm;
        float low = high - width;
        int surely = EstimateScan.CountSurely(_logits.Span, screen.Errors, _norm, low);
        for (int step = 0; step < WideningSteps && surely < count; step++)
        {
            (high, low, width) = (low, low - (2 * width), 2 * width);
            surely = EstimateScan.CountSurely(_logits.Span, screen.Errors, _norm, low);
        }

        if (surely < count)
        {
            MultiplyAll();
            return;
        }

        for (int step = 0; step < BorderSteps; step++)
        {
            float middle = (low + high) / 2;
            if (EstimateScan.CountSurely(_logits.Span, screen.Errors, _norm, middle) >= count)
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

    private void AddUp()
    {
        double exact = TakeExponentials();
        (_sum, _errors, _squares, _excess) = EstimateScan.AddUp(bounds, screen.Errors);
        _sum += exact;
        LogSumExp = _max + Math.Log(_sum);
    }

    /// <summary>Adds to all estimates what the screen's bytes leave of the rows.</summary>
    private void AddRest()
    {
        estimates.RunRest(_input.Span, bounds);
        TakeExact();
        TensorPrimitives.Add(_logits.Span, bounds, _logits.Span);
        _errorShare = 1.0 / HeadScreen.RestUnits;
    }

    /// <summary>Exponentials of the estimates into the scratch, 0 for those that are exact.</summary>
    /// <returns>The sum of these.</returns>
    private double TakeExponentials()
    {
        _max = EstimateScan.Exponentials(_logits.Span, bounds);
        return TakeExact();
    }

    /// <summary>Takes what belongs to exact rows out of the scratch: 0 is left of it.</summary>
    /// <returns>The sum of what was there.</returns>
    private double TakeExact()
    {
        double sum = 0;
        for (int word = 0; word < _exact.Length; word++)
        {
            for (ulong bits = _exact[word]; bits != 0; bits &= bits - 1)
            {
                ref float value = ref bounds[(word * 64) + (int)ulong.TrailingZeroCount(bits)];
                sum += value;
                value = 0;
            }
        }

        return sum;
    }

    /// <summary>Multiplies the rows again that were found and are not exact yet; all where they are too many.</summary>
    private void MultiplyFound(int count, int limit)
    {
        if (count > limit)
            MultiplyAll();
        else
            Multiply(found.AsSpan(0, Mark(0, count)));
    }

    /// <summary>Multiplies marked rows; all where one of them is no number.</summary>
    private void Multiply(ReadOnlySpan<int> ids)
    {
        Span<float> values = _logits.Span;
        head.MultiplyRows(lane, ids, _input.Span, bounds);
        _exactCount += ids.Length;
        for (int at = 0; at < ids.Length; at++)
        {
            values[ids[at]] = bounds[at];
            if (float.IsFinite(bounds[at]))
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

    /// <summary>Finds the rows, and marks them, whose logits can be as large as a border.</summary>
    /// <returns>How many are found, with those that were; more than the limit where that is too many.</returns>
    private int FindBest(float border, int count, int limit)
    {
        int places = EstimateScan.FindPossible(_logits.Span, screen.Errors, _norm, border, found.AsSpan(count));
        return places - _exactCount > limit ? limit + 1 : Mark(count, places);
    }

    /// <summary>Marks rows that were found, and keeps those that were not marked before.</summary>
    /// <returns>How many are found, with those that were.</returns>
    private int Mark(int count, int places)
    {
        foreach (int id in found.AsSpan(count, places))
        {
            if (TryMark(id))
                found[count++] = id;
        }

        return count;
    }
}
