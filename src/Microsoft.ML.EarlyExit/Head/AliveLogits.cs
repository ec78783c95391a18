using System.Numerics.Tensors;
using Microsoft.ML.EarlyExit.Memory;
using Microsoft.ML.EarlyExit.Numerics;

namespace Microsoft.ML.EarlyExit.Head;

/// <summary>
/// The logits of the tokens alive for one token, estimated by their rows of the screen: the largest two are those of the rows themselves, and of
/// <c>Σ exp(z)</c> is known by how much it can be wrong, which says of most tokens that they do not exit. Serves one token after another, on the thread that
/// calls; allocates nothing for them.
/// </summary>
/// <param name="head">The head.</param>
/// <param name="screen">Its screen.</param>
/// <param name="mostAlive">Tokens that can be alive.</param>
internal sealed unsafe class AliveLogits(LanguageModelHead head, HeadScreen screen, int mostAlive) : IDisposable
{
    private readonly NativeBuffer _rounded = new((long)screen.Width * sizeof(short));
    private readonly int[] _places = new int[mostAlive];
    private readonly int[] _ids = new int[mostAlive];
    private readonly float[] _errors = new float[mostAlive];
    private readonly float[] _scratch = new float[mostAlive];

    /// <summary>Tokens that can be alive.</summary>
    public int Capacity => mostAlive;

    /// <summary><c>ln Σ exp(z)</c> of the last estimates.</summary>
    public double LogSumExp { get; private set; }

    /// <summary>By how much of itself the sum can be wrong; never 0.</summary>
    public double SumError { get; private set; }

    /// <summary>Rows that were multiplied themselves.</summary>
    public int ExactCount { get; private set; }

    /// <summary>Whether so many rows are faster estimated than multiplied themselves.</summary>
    public static bool IsWorth(int count, int width) => (long)count * width >= 1 << 14;

    /// <summary>Estimates logits.</summary>
    /// <param name="ids">The tokens.</param>
    /// <param name="input">The head's input.</param>
    /// <param name="logits">Takes as many.</param>
    /// <returns>False where nothing is sure of the estimates: the rows themselves are to be multiplied.</returns>
    public bool TryEstimate(ReadOnlySpan<int> ids, ReadOnlySpan<float> input, Span<float> logits)
    {
        if (!HeadScreen.TryNorm(input, out float norm))
            return false;
        Estimate(ids, input, logits);
        Span<float> errors = _errors.AsSpan(0, ids.Length);
        for (int at = 0; at < ids.Length; at++)
            errors[at] = screen.Errors[ids[at]];

        float second = EstimateScan.SecondLeast(logits, errors, norm);
        int found = float.IsFinite(second) ? EstimateScan.FindPossible(logits, errors, norm, second, _places) : ids.Length;
        if (found > ids.Length / 2 || !TryMultiply(ids, input, logits, found) || TensorPrimitives.Max<float>(errors) * norm > HeadScreen.LargestExponent)
            return false;
        Span<float> exponentials = _scratch.AsSpan(0, ids.Length);
        float largest = EstimateScan.Exponentials(logits, exponentials);
        (double sum, double sumOfErrors, _, double excess) = EstimateScan.AddUp(exponentials, errors);
        LogSumExp = largest + Math.Log(sum);

        // Never as if all were exact: the best two alone are.
        SumError = Math.Max(HeadScreen.ErrorOfSum(sum, sumOfErrors, excess, norm), double.Epsilon);
        ExactCount = found;
        return true;
    }

    public void Dispose() => _rounded.Dispose();

    private void Estimate(ReadOnlySpan<int> ids, ReadOnlySpan<float> input, Span<float> logits)
    {
        float scale;
        var rounded = (short*)_rounded.Address;
        fixed (float* values = input, estimates = logits)
        fixed (int* rows = ids)
        {
            IntegerKernel.Round(values, screen.Width, 1, 0, 1, rounded, &scale);
            ScreenKernel.MultiplyRows(screen.Values, screen.Scales, screen.Width, rows, ids.Length, rounded, &scale, parts: 1, estimates);
        }
    }

    /// <summary>Takes the rows themselves at the places that were found, which then have no errors.</summary>
    private bool TryMultiply(ReadOnlySpan<int> ids, ReadOnlySpan<float> input, Span<float> logits, int found)
    {
        for (int index = 0; index < found; index++)
            _ids[index] = ids[_places[index]];
        head.MultiplyRows(lane: null, _ids.AsSpan(0, found), input, _scratch);
        for (int index = 0; index < found; index++)
            (logits[_places[index]], _errors[_places[index]]) = (_scratch[index], 0);
        return TensorPrimitives.IsFiniteAll<float>(_scratch.AsSpan(0, found));
    }
}
