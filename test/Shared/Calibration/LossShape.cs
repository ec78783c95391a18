namespace Microsoft.ML.EarlyExit.Testing;

/// <summary>How losses of a known mean m are distributed.</summary>
public enum LossShape
{
    /// <summary>1 with probability m, else 0.</summary>
    Bernoulli,

    /// <summary>Beta(1, 1/m - 1).</summary>
    Beta,

    /// <summary>0.4 with probability m / 0.4, else 0.</summary>
    TwoPoint,

    /// <summary>1 with probability m / 2, else uniform from 0 up.</summary>
    Mixture,
}
