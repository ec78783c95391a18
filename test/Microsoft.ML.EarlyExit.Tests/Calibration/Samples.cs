using FsCheck;
using FsCheck.Fluent;

namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>Losses, tolerances and p-values to try.</summary>
internal static class Samples
{
    /// <summary>A number in (0, 1).</summary>
    public static Gen<double> Unit { get; } = Gen.Choose(1, 9_999).Select(share => share / 10_000.0);

    /// <summary>A loss: often 0 or 1.</summary>
    public static Gen<double> Loss { get; } = Gen.Choose(-2_000, 11_000).Select(share => Math.Clamp(share / 10_000.0, 0, 1));

    public static Gen<double[]> Losses { get; } = Gen.Choose(1, 120).SelectMany(count => Gen.ArrayOf(Loss, count));

    public static Gen<double[]> ZerosAndOnes { get; } =
        Gen.Choose(1, 120).SelectMany(count => Gen.ArrayOf(Gen.Choose(0, 4).Select(value => value == 0 ? 1.0 : 0.0), count));

    /// <summary>P-values: small ones are common.</summary>
    public static Gen<double[]> PValues { get; } =
        Gen.Choose(1, 30).SelectMany(count => Gen.ArrayOf(Gen.Choose(0, 1_000).Select(share => Math.Pow(share / 1_000.0, 4)), count));
}
