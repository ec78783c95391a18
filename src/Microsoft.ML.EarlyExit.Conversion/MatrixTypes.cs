using System.IO.Enumeration;
using Microsoft.ML.EarlyExit.Conversion.Bundle;
using Microsoft.ML.EarlyExit.Model;
using Microsoft.ML.EarlyExit.Model.Weights;

namespace Microsoft.ML.EarlyExit.Conversion;

/// <summary>In which type a conversion stores each matrix of the layers.</summary>
internal sealed class MatrixTypes
{
    private readonly Dictionary<string, WeightPrecision> types = new(StringComparer.Ordinal);

    /// <param name="configuration">The model's sizes.</param>
    /// <param name="options">What is asked for.</param>
    /// <exception cref="ArgumentException">Nothing would be quantised that could be kept, or a pattern names nothing.</exception>
    public MatrixTypes(T5Configuration configuration, T5ConversionOptions options)
    {
        string precision = WeightFormat.Of(options.Weights).Name;
        if (options.Keep.Count > 0 && !WeightFormat.Of(options.Weights).HasScales)
        {
            throw new ArgumentException(
                $"{nameof(T5ConversionOptions.Keep)} is given, but with {precision} all matrices are {precision}. "
                + "Convert to int8 or int4, or keep nothing.");
        }

        LayerMatrix[] matrices = [.. LayerMatrix.All(configuration)];
        foreach (LayerMatrix matrix in matrices)
        {
            types.Add(matrix.Name, StoredTypes.Of(options.Weights, matrix.Name, matrix.Inputs));
        }

        foreach (string kept in options.Keep)
        {
            string pattern = kept[T5ConversionOptions.KeepPrefix.Length..];
            string[] names = [.. types.Keys.Where(name => FileSystemName.MatchesSimpleExpression(pattern, name, ignoreCase: false))];
            if (names.Length == 0)
            {
                throw new ArgumentException(
                    $"'{kept}' keeps nothing: no matrix that {precision} turns into whole numbers has such a name. They are called 'decoder.3.ff.wo', "
                    + "'encoder.0.self.kv' and so on, layers counted from 0; in a pattern * stands for any characters and ? for one.");
            }

            foreach (string name in names)
            {
                types[name] = WeightPrecision.Float32;
            }
        }

        foreach (LayerMatrix matrix in matrices)
        {
            WeightFormat format = WeightFormat.Of(types[matrix.Name]);
            Bytes += format.ByteCount((long)matrix.Outputs * matrix.Inputs);
            if (format.HasScales)
            {
                Bytes += (long)matrix.Outputs * (matrix.Inputs / StoredTypes.Block(matrix.Name, format.Precision, matrix.Inputs)) * sizeof(float);
            }
        }
    }

    public WeightPrecision this[string name] => types[name];

    /// <summary>The bytes of all matrices with their scales.</summary>
    public long Bytes { get; }
}
