using System.Collections.Immutable;
using Microsoft.ML.Calibrators;
using Microsoft.ML.Trainers;
using Microsoft.ML.Transforms;

namespace Microsoft.ML.EarlyExit.Training;

/// <summary>One linear probe, in double precision while things are folded into it: its confidence is <c>sigmoid(Weights · h + Bias)</c>.</summary>
internal sealed record LinearProbe(double[] Weights, double Bias)
{
    private const string Needed =
        "Give a trainer of linear binary classifiers that reads the columns Features and Label, such as LbfgsLogisticRegression or SdcaLogisticRegression, "
        + "alone or followed by the Platt calibrator.";

    /// <summary>A probe that has the same confidence everywhere, for a layer whose examples all have one label (Laplace's rule of succession).</summary>
    public static LinearProbe Constant(int width, int agreeing, int count) => new(new double[width], Math.Log((agreeing + 1.0) / (count - agreeing + 1.0)));

    /// <summary>What a trainer has learned.</summary>
    /// <exception cref="ArgumentException">It is not a linear probe on the features; the message says what is needed.</exception>
    public static LinearProbe From(ITransformer trained, int width)
    {
        ITransformer[] parts = trained is IEnumerable<ITransformer> chain ? [.. chain] : [trained];
        if (parts.Length is 0 or > 2
            || parts[0] is not ISingleFeaturePredictionTransformer<object> { FeatureColumnName: ExitExampleColumns.Features } predictor)
            throw Refuse(string.Join(", ", parts.Select(part => part.GetType().Name)));
        LinearProbe probe = predictor.Model switch
        {
            CalibratedModelParametersBase<LinearBinaryModelParameters, PlattCalibrator> calibrated => From(calibrated.SubModel).Fold(calibrated.Calibrator),
            LinearBinaryModelParameters linear => From(linear),
            var other => throw Refuse(other.GetType().Name),
        };
        if (parts.Length == 2)
        {
            // It would calibrate the plain score, also where the trainer has calibrated it already.
            probe = parts[1] is ISingleFeaturePredictionTransformer<PlattCalibrator> { Model: var calibrator } && predictor.Model is LinearBinaryModelParameters
                ? probe.Fold(calibrator)
                : throw Refuse($"{predictor.Model.GetType().Name} followed by {parts[1].GetType().Name}");
        }

        if (probe.Weights.Length != width)
            throw new ArgumentException($"The trained classifier has {probe.Weights.Length} weights, but the hidden states have {width} elements. {Needed}");
        return double.IsFinite(probe.Bias) && probe.Weights.All(double.IsFinite)
            ? probe
            : throw new ArgumentException(
                "The trained classifier has a weight or bias that is not a finite number. Give the trainer a smaller learning rate, or use another one.");
    }

    /// <summary>The same probe on features as they were before they were standardised.</summary>
    public LinearProbe Unfold(NormalizingTransformer.AffineNormalizerModelParameters<ImmutableArray<float>> standardised)
    {
        // w · ((h - offset) * scale) + b; no offsets where all are 0.
        double[] weights = new double[Weights.Length];
        double bias = Bias;
        for (int index = 0; index < weights.Length; index++)
        {
            weights[index] = Weights[index] * standardised.Scale[index];
            if (!standardised.Offset.IsDefaultOrEmpty)
                bias -= weights[index] * standardised.Offset[index];
        }

        return new LinearProbe(weights, bias);
    }

    private static LinearProbe From(LinearBinaryModelParameters linear) => new([.. linear.Weights.Select(weight => (double)weight)], linear.Bias);

    /// <summary>Platt's calibrator gives <c>1 / (1 + exp(slope · score + offset))</c>.</summary>
    private LinearProbe Fold(PlattCalibrator calibrator) =>
        new([.. Weights.Select(weight => -calibrator.Slope * weight)], (-calibrator.Slope * Bias) - calibrator.Offset);

    private static ArgumentException Refuse(string found) => new($"The trainer gives {found}, from which no weights of a linear probe can be taken. {Needed}");
}
