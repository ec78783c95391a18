using System.Numerics.Tensors;
using System.Runtime.InteropServices;

namespace Microsoft.ML.EarlyExit.Evaluation.Metrics;

/// <summary>Adds rows up, and makes the metrics of them. Its memory does not depend on how many rows there are. For one caller at a time.</summary>
/// <param name="scorer">Scores the rows.</param>
/// <param name="bootstrap">Bootstrap samples; null for no intervals.</param>
internal sealed class EvaluationAccumulator(RowScorer scorer, PoissonBootstrap? bootstrap = null)
{
    private readonly double[] _totals = new double[EvaluationTotals.Count];
    private readonly double[] _numbers = new double[EvaluationTotals.Count];
    private readonly List<long> _histogram = [0];
    private readonly List<(long Layers, long Tokens)> _positions = [];
    private readonly long[] _bad = new long[Enum.GetValues<RowProblem>().Length];
    private RougeTextStatistics _rougeTexts;
    private long _rows;
    private int _fewestReferences = int.MaxValue;
    private int _mostReferences;

    /// <summary>References of every row; null where rows have different numbers of them.</summary>
    private int? ReferenceCount => _fewestReferences == _mostReferences ? _mostReferences : null;

    /// <summary>Adds a row that cannot be evaluated.</summary>
    public void AddBad(RowProblem problem)
    {
        _rows++;
        _bad[(int)problem]++;
    }

    /// <summary>Scores a row and adds it.</summary>
    /// <param name="prediction">The generated text; empty where no text is judged.</param>
    /// <param name="references">Its references; none where there is nothing to compare with.</param>
    /// <param name="fullDepth">The full model's text; empty where there is none.</param>
    /// <param name="exitLayers">The exit layers, checked.</param>
    /// <param name="operations">The operation counts.</param>
    /// <param name="cancellationToken">Ends the scoring of a huge row.</param>
    public RowScores Add(
        string prediction, ReadOnlySpan<string> references, string fullDepth, ReadOnlySpan<int> exitLayers, in OperationCounts operations,
        CancellationToken cancellationToken = default)
    {
        RowScores scores = scorer.Score(prediction, references, fullDepth, cancellationToken);
        AddRougeTexts(prediction, references, fullDepth);
        scorer.Count(scores, prediction, references, _numbers);
        AddExits(exitLayers);
        _fewestReferences = Math.Min(_fewestReferences, references.Length);
        _mostReferences = Math.Max(_mostReferences, references.Length);
        _numbers[EvaluationTotals.Operations] = operations.Decoder;
        _numbers[EvaluationTotals.Operations + 1] = operations.StatePropagation;
        _numbers[EvaluationTotals.Operations + 2] = operations.Confidence;
        _numbers[EvaluationTotals.Operations + 3] = operations.Head;
        _numbers[EvaluationTotals.Operations + 4] = operations.Paper;
        TensorPrimitives.Add<double>(_totals, _numbers, _totals);
        bootstrap?.Add(_numbers);
        _rows++;
        return scores;
    }

    /// <summary>The metrics of all rows so far.</summary>
    public TextGenerationMetrics ToMetrics(TimeSpan readingTime, double confidenceLevel)
    {
        bool any = _totals[EvaluationTotals.Rows] > 0;
        return new TextGenerationMetrics
        {
            RowCount = _rows,
            MissingPredictionCount = _bad[(int)RowProblem.MissingPrediction],
            MissingReferenceCount = _bad[(int)RowProblem.MissingReference],
            FailedRowCount = _bad[(int)RowProblem.Failed],
            Rouge = any && scorer.Has(EvaluationMetrics.Rouge) ? EvaluationTotals.RougeOf(_totals) : null,
            RougeTexts = any && scorer.RougeRules is not null ? _rougeTexts : null,
            ExactMatch = any && scorer.Has(EvaluationMetrics.Squad) ? EvaluationTotals.Percent(_totals, EvaluationTotals.ExactMatch) : null,
            F1 = any && scorer.Has(EvaluationMetrics.Squad) ? EvaluationTotals.Percent(_totals, EvaluationTotals.F1) : null,
            Bleu = any && scorer.Has(EvaluationMetrics.Bleu) ? EvaluationTotals.BleuOf(_totals, scorer, ReferenceCount) : null,
            Chrf = any && scorer.Has(EvaluationMetrics.Chrf) ? EvaluationTotals.ChrfOf(_totals, scorer, ReferenceCount) : null,
            Agreement = any && scorer.HasFullDepth
                ? new TextAgreement(
                    EvaluationTotals.Mean(_totals, EvaluationTotals.Agreement),
                    EvaluationTotals.Mean(_totals, EvaluationTotals.Agreement + 1),
                    EvaluationTotals.Mean(_totals, EvaluationTotals.Agreement + 2))
                : null,
            Exits = any && scorer.HasExitLayers
                ? new ExitStatistics
                {
                    TokenCount = (long)_totals[EvaluationTotals.Tokens],
                    MeanExitLayer = EvaluationTotals.MeanExitLayer(_totals),
                    Histogram = [.. _histogram],
                    MeanExitLayerByPosition = [.. _positions.Select(position => (double)position.Layers / position.Tokens)],
                    TokenCountByPosition = [.. _positions.Select(position => position.Tokens)],
                }
                : null,
            Operations = any && scorer.HasOperations ? EvaluationTotals.OperationsOf(_totals) : null,
            ReadingTime = readingTime,
            ConfidenceIntervals = any && bootstrap is not null
                ? EvaluationTotals.Figures(scorer).ToDictionary(figure => figure.Name, figure => bootstrap.Interval(figure.Compute, confidenceLevel))
                : new Dictionary<string, ConfidenceInterval>(),
        };
    }

    private void AddRougeTexts(string prediction, ReadOnlySpan<string> references, string fullDepth)
    {
        if (scorer.RougeRules is not { } rules)
            return;
        _rougeTexts = _rougeTexts.Add(prediction, rules).Add(fullDepth, rules);
        if (scorer.Has(EvaluationMetrics.Rouge))
        {
            foreach (string reference in references)
                _rougeTexts = _rougeTexts.Add(reference, rules);
        }
    }

    private void AddExits(ReadOnlySpan<int> exitLayers)
    {
        while (_positions.Count < exitLayers.Length)
            _positions.Add(default);
        Span<(long Layers, long Tokens)> positions = CollectionsMarshal.AsSpan(_positions);
        long sum = 0;
        for (int position = 0; position < exitLayers.Length; position++)
        {
            int layer = exitLayers[position];
            sum += layer;
            positions[position].Layers += layer;
            positions[position].Tokens++;
            while (_histogram.Count <= layer)
                _histogram.Add(0);
            _histogram[layer]++;
        }

        _numbers[EvaluationTotals.ExitLayers] = sum;
        _numbers[EvaluationTotals.Tokens] = exitLayers.Length;
    }
}
