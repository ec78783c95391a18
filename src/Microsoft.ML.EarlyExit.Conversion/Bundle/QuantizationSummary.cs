using System.Globalization;

namespace Microsoft.ML.EarlyExit.Conversion.Bundle;

/// <summary>Quantisation errors by kind of matrix, and the matrices that stand out.</summary>
internal sealed class QuantizationSummary
{
    // A matrix whose error is so many times that of the middle one of its kind.
    private const double FarWorse = 2;

    /// <param name="matrices">What became of each, in the order of the weights file.</param>
    public QuantizationSummary(IReadOnlyList<QuantizedTensor> matrices)
    {
        var errors = new List<QuantizationError>();
        var warnings = new List<string>();
        foreach (IGrouping<(string Kind, WeightPrecision Type), QuantizedTensor> kind in matrices.GroupBy(matrix => (Kind(matrix.Name), matrix.Type)))
        {
            QuantizedTensor worst = kind.MaxBy(matrix => matrix.RelativeError)!;
            double squares = kind.Sum(matrix => matrix.SquaredNorm);
            errors.Add(new QuantizationError(
                kind.Key.Kind, kind.Key.Type, kind.Count(), squares > 0 ? Math.Sqrt(kind.Sum(matrix => matrix.SquaredError) / squares) : 0,
                worst.Name, worst.RelativeError));
            double[] sorted = [.. kind.Select(matrix => matrix.RelativeError).Order()];
            double middle = sorted[(sorted.Length - 1) / 2];
            foreach (QuantizedTensor matrix in kind.Where(matrix => matrix.RelativeError > FarWorse * middle))
            {
                warnings.Add(string.Create(
                    CultureInfo.InvariantCulture,
                    $"The matrix '{matrix.Name}' has a quantisation error of {100 * matrix.RelativeError:0.##} %, the middle one of its kind "
                    + $"{100 * middle:0.##} %: it has outliers. Where the outputs suffer, keep it in single precision with "
                    + $"'{T5ConversionOptions.KeepPrefix}{matrix.Name}'."));
            }
        }

        (Errors, Warnings) = (errors, warnings);
    }

    public IReadOnlyList<QuantizationError> Errors { get; }

    /// <summary>A sentence for each matrix that is far worse than its kind.</summary>
    public IReadOnlyList<string> Warnings { get; }

    /// <summary>A matrix's name without its layer, and without which of two it is.</summary>
    private static string Kind(string name)
    {
        string[] parts = name.Split('.');
        return $"{parts[0]}.{parts[2]}.{(parts[3].StartsWith("wi", StringComparison.Ordinal) ? "wi" : parts[3])}";
    }
}
