namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>A norm and a head in double precision: <c>W · s · RMSNorm(h)</c> in plain loops.</summary>
internal sealed class DefinedHead
{
    private readonly double[][] _rows;
    private readonly double[] _norm;
    private readonly double _epsilon;
    private readonly double _scale;

    public DefinedHead(EarlyExitModel model)
    {
        T5Configuration configuration = model.Configuration;
        VocabularySize = configuration.VocabularySize;
        _rows = [.. Enumerable.Range(0, VocabularySize).Select(id => model.Head.Row(id).ToArray().Select(weight => (double)weight).ToArray())];
        ReadOnlySpan<float> norm = model.Bundle.Tensor(model.Bundle.Manifest.TensorNames.DecoderFinalNorm).Floats;
        _norm = new double[configuration.ModelDimension];
        for (int column = 0; column < _norm.Length; column++)
            _norm[column] = norm[column];
        _epsilon = configuration.LayerNormEpsilon;
        _scale = configuration.ScaleDecoderOutputs ? Math.Pow(configuration.ModelDimension, -0.5) : 1;
    }

    /// <summary>A head of random rows, which no model has.</summary>
    public DefinedHead(T5Configuration configuration, int seed)
    {
        var random = new Random(seed);
        VocabularySize = configuration.VocabularySize;
        _norm = [.. Enumerable.Range(0, configuration.ModelDimension).Select(_ => 0.5 + random.NextDouble())];
        _rows = [.. Enumerable.Range(0, VocabularySize).Select(_ => _norm.Select(_ => (2 * random.NextDouble()) - 1).ToArray())];
        _epsilon = configuration.LayerNormEpsilon;
        _scale = configuration.ScaleDecoderOutputs ? Math.Pow(configuration.ModelDimension, -0.5) : 1;
    }

    public int VocabularySize { get; }

    public double[] Row(int id) => _rows[id];

    public double[] Logits(ReadOnlySpan<float> hidden)
    {
        double squares = 0;
        foreach (float value in hidden)
            squares += (double)value * value;
        double root = Math.Sqrt((squares / hidden.Length) + _epsilon);
        double[] normed = new double[hidden.Length];
        for (int column = 0; column < normed.Length; column++)
            normed[column] = hidden[column] / root * _norm[column] * _scale;
        double[] logits = new double[_rows.Length];
        for (int id = 0; id < logits.Length; id++)
        {
            for (int column = 0; column < normed.Length; column++)
                logits[id] += _rows[id][column] * normed[column];
        }

        return logits;
    }
}
