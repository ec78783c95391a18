using Microsoft.ML.EarlyExit.Calibration.Statistics;

namespace Microsoft.ML.EarlyExit;

/// <summary>Watches the losses of later rows, and says when their mean has risen above the δ that a calibration promised. Safe for several threads.</summary>
/// <remarks>
/// <para>
/// A sequential test of the hypothesis that every loss has an expectation of at most δ, given those before it; independent rows from the source of the
/// calibration meet it if the calibrated threshold keeps its promise. It may be looked at after every loss and never has to end. If the hypothesis holds, drift
/// is <b>ever</b> declared with probability α at most, whatever the distribution of losses in [0, 1]. (A calibration errs with probability ε by itself; then
/// the alarm is right.) How soon drift is found depends on how far the mean has risen, and slightly, by the logarithm, on how many rows came before. It is not
/// promised that drift is found. The mean loss must be that of the rows watched: to watch a sample of the rows, choose it without regard to their losses.
/// </para>
/// <para>
/// It bets: K_t = Π (1 + v_i (x_i - δ)) with v_i in [0, 1/δ) that depends on earlier losses only. Under the hypothesis K is a supermartingale that starts at 1,
/// and by Ville's inequality ever reaches 1/α with probability α at most (Waudby-Smith and Ramdas 2024, arXiv 2010.09686). v is the one of a
/// mixture: capital is laid out in advance for eight constant bets, v δ = 1/128, 1/64, …, 1/2, 7/8, and for every row at which betting might begin, since
/// nobody knows when drift will start. What is left for beginnings after t rows is 1 / (1 + ln(1 + t)). So a long good time costs the logarithm of its length,
/// where a bet from the first row on would lose its capital. Capital that begins at every row is the Shiryaev-Roberts e-detector of Shin, Ramdas and Rinaldo
/// (arXiv 2203.03532); chosen here are beginnings whose capital sums to 1, which bounds the probability of any false alarm where theirs bounds how often they
/// come.
/// </para>
/// </remarks>
public sealed class RiskMonitor
{
    // Capital is stored in units of 2^(256 _scale), so that it neither overflows nor vanishes beside what is laid out for later beginnings.
    private const int ScaleBits = 256;

    private static readonly double[] s_fractions = [1.0 / 128, 1.0 / 64, 1.0 / 32, 1.0 / 16, 1.0 / 8, 1.0 / 4, 1.0 / 2, 7.0 / 8];

    private readonly Lock _lock = new();
    private readonly double[] _capital = new double[s_fractions.Length];
    private LossSum _losses;
    private int _scale;
    private double _reserve = 1;
    private double _value = 1;
    private double _largestLog;

    /// <summary>A monitor that has seen nothing.</summary>
    /// <param name="delta">δ, the mean loss that must not be exceeded, in (0, 1).</param>
    /// <param name="alpha">α, the probability of ever declaring drift although there is none, in (0, 1).</param>
    /// <exception cref="ArgumentOutOfRangeException">A value is outside its range.</exception>
    public RiskMonitor(double delta, double alpha = 0.05)
    {
        CalibrationArguments.CheckOpenUnit(delta);
        CalibrationArguments.CheckOpenUnit(alpha);
        Delta = delta;
        Alpha = alpha;
    }

    /// <summary>δ, the mean loss that must not be exceeded.</summary>
    public double Delta { get; }

    /// <summary>α, the probability of ever declaring drift although there is none.</summary>
    /// <value>The default value is 0.05.</value>
    public double Alpha { get; }

    /// <summary>What was seen so far.</summary>
    public RiskMonitorState State
    {
        get
        {
            lock (_lock)
                return CurrentState();
        }
    }

    /// <summary>Whether drift was declared. Once true, it stays.</summary>
    public bool HasDrifted => State.HasDrifted;

    /// <summary>Takes the loss of the next row.</summary>
    /// <param name="loss">The loss, in [0, 1].</param>
    /// <returns>What was seen so far, this loss included.</returns>
    /// <exception cref="ArgumentOutOfRangeException">The loss is NaN or outside [0, 1]; it is not counted.</exception>
    public RiskMonitorState Add(double loss)
    {
        lock (_lock)
        {
            if (!(loss >= 0 && loss <= 1))
                throw new ArgumentOutOfRangeException(nameof(loss), loss, $"The loss at index {_losses.Count} is {loss:R}; losses must be within [0, 1].");
            _losses.Add(loss);
            Bet(loss);
            return CurrentState();
        }
    }

    private void Bet(double loss)
    {
        double reserve = 1 / (1 + Math.Log(1.0 + _losses.Count));
        double beginning = Math.ScaleB((_reserve - reserve) / _capital.Length, -ScaleBits * _scale);
        _reserve = reserve;

        // A gain is cut at 1e50, for a tiny δ: nothing overflows, and less capital than allowed does not harm the promise.
        double gain = Math.Min(loss / Delta, 1e50) - 1;
        double value = Math.ScaleB(reserve, -ScaleBits * _scale);
        for (int index = 0; index < _capital.Length; index++)
        {
            _capital[index] = (_capital[index] + beginning) * (1 + (s_fractions[index] * gain));
            value += _capital[index];
        }

        int change = value > 1e100 ? 1 : value < 1e-100 && _scale > 0 ? -1 : 0;
        if (change != 0)
        {
            _scale += change;
            for (int index = 0; index < _capital.Length; index++)
                _capital[index] = Math.ScaleB(_capital[index], -ScaleBits * change);
            value = Math.ScaleB(value, -ScaleBits * change);
        }

        _value = value;
        _largestLog = Math.Max(_largestLog, Math.Log(value) + (ScaleBits * _scale * Math.Log(2)));
    }

    private RiskMonitorState CurrentState()
    {
        double pValue = Math.Exp(-_largestLog);
        return new(_losses.Count, _losses.Mean, Math.ScaleB(_value, ScaleBits * _scale), pValue, pValue <= Alpha);
    }
}
