using Microsoft.ML.EarlyExit.Model;

namespace Microsoft.ML.EarlyExit.Reproduction;

/// <summary>The cells of the protocol for one model, in the order in which they run.</summary>
internal sealed class ReproductionPlan
{
    public const string FullDepth = "full-depth";
    public const string Layers = "layers";

    /// <summary>Positions that the estimate of a cell's cost presumes of an input and an output.</summary>
    private const int TypicalInput = 128;
    private const int TypicalPosition = 8;

    private readonly List<PlannedCell> _cells = [];
    private readonly string _model;
    private readonly int _samples;
    private readonly int _latencyRows;
    private readonly float _threshold;
    private readonly double _block;
    private readonly double _head;

    /// <param name="model">The model's name in the report.</param>
    /// <param name="configuration">Its sizes; at least two decoder layers.</param>
    /// <param name="minimumLayers">The model's own layers that curves over the minimum layer have; null for the paper's, scaled.</param>
    /// <param name="threshold">The threshold of all policies.</param>
    /// <param name="samples">Rows of the sample.</param>
    /// <param name="latencyRows">Rows of them whose time is measured.</param>
    public ReproductionPlan(string model, T5Configuration configuration, IReadOnlyList<int>? minimumLayers, float threshold, int samples, int latencyRows)
    {
        _model = model;
        _threshold = threshold;
        _samples = samples;
        _latencyRows = latencyRows;
        Depth = configuration.DecoderLayerCount;
        var costs = new OperationCosts(configuration);
        _block = costs.Blocks(1, TypicalPosition, TypicalInput).Total;
        _head = costs.ChoiceProduct(configuration.VocabularySize).Total;
        Curve = minimumLayers is null ? PaperLayers.Scale(PaperLayers.Curves, Depth) : [.. minimumLayers.Distinct().Order()];
        Table1 = PaperLayers.Scale(PaperLayers.Table1, Depth);
        PreTrained = PaperLayers.Scale(PaperLayers.PreTrained, Depth);
        FineTuned = PaperLayers.Scale(PaperLayers.FineTuned, Depth);
        Late = PaperLayers.Scale(PaperLayers.Late, Depth);
        AddCells();
    }

    public string Model => _model;

    /// <summary>The model's decoder layers, L.</summary>
    public int Depth { get; }

    /// <summary>The minimum layers of figures 6, 7 and 10 to 13.</summary>
    public IReadOnlyList<int> Curve { get; }

    /// <summary>The minimum layers that table 1 is a mean over.</summary>
    public IReadOnlyList<int> Table1 { get; }

    /// <summary>What the paper's minimum layer for models that are not fine-tuned is here.</summary>
    public int PreTrained { get; }

    /// <summary>What the paper's minimum layer for fine-tuned models is here.</summary>
    public int FineTuned { get; }

    /// <summary>What minimum layer 19 is here.</summary>
    public int Late { get; }

    public IReadOnlyList<PlannedCell> Cells => _cells;

    /// <summary>The minimum layers of figures 4 and 5, each once.</summary>
    public IReadOnlyList<int> EarlyLayers => [.. new[] { PreTrained, FineTuned }.Distinct()];

    /// <summary>The minimum layers of figures 8 and 9, each once.</summary>
    public IReadOnlyList<int> ComparedLayers => [.. new[] { Late, PreTrained, FineTuned }.Distinct()];

    /// <summary>The name of the cell in which every token exits after a layer; at L that is full depth.</summary>
    public string StaticName(int layer) => layer == Depth ? FullDepth : $"static-{layer:D2}";

    /// <summary>The name of the cell with a measure, a pruning and a minimum layer.</summary>
    public static string Name(string measure, string pruning, int minimumLayer) => $"{measure}-{pruning}-{minimumLayer:D2}";

    private void AddCells()
    {
        _cells.Add(new PlannedCell(_model, CellKind.FullDepth, FullDepth, "full depth", null, Weight(Depth, 0, isPruned: false)));
        _cells.Add(new PlannedCell(_model, CellKind.Layers, Layers, "every layer on full depth's outputs", null, _samples * Depth * (_block + _head)));
        for (int layer = 1; layer < Depth; layer++)
        {
            var policy = new ExitPolicy { StaticExitLayer = layer };
            double weight = Weight(layer, 0, isPruned: false);
            _cells.Add(new PlannedCell(_model, CellKind.Static, StaticName(layer), $"every token exits after layer {layer}", policy, weight));
        }

        foreach (int layer in EarlyLayers)
            Add("softmax", ["none", "fixed", "decaying", "adaptive"], layer);
        foreach (int layer in ComparedLayers)
        {
            Add("softmax", ["none", "fixed"], layer);
            Add("jsd", ["none", "adaptive"], layer);
        }

        foreach (int layer in Table1)
            Add("jsd", ["fixed", "decaying", "adaptive"], layer);
        foreach (int layer in Curve)
        {
            Add("softmax", ["none"], layer);
            Add("weighted", ["none"], layer);
            Add("jsd", ["none", "fixed", "decaying", "adaptive"], layer);
        }
    }

    private void Add(string measure, ReadOnlySpan<string> prunings, int layer)
    {
        foreach (string pruning in prunings)
        {
            string name = Name(measure, pruning, layer);
            if (_cells.Any(cell => cell.Name == name))
                continue;
            var policy = new ExitPolicy { MinimumLayer = layer, Threshold = _threshold, Confidence = Measure(measure), Pruning = Pruning(pruning) };
            // Between the minimum layer and the last a token is taken to exit in the middle.
            double weight = Weight((layer + Depth) / 2.0, (Depth - layer) / 2.0 * (measure == "softmax" ? 1 : 1.5), pruning != "none");
            _cells.Add(new PlannedCell(
                _model, CellKind.EarlyExit, name, $"{ReportData.Words(measure)}, {Words(pruning)}, minimum layer {layer}", policy, weight));
        }
    }

    /// <summary>A pruning in words.</summary>
    public static string Words(string pruning) => pruning == "none" ? "no pruning" : $"{pruning} pruning";

    private static Confidence Measure(string name) => name switch
    {
        "softmax" => Confidence.SoftmaxMargin,
        "weighted" => Confidence.WeightedContrastive(),
        "jsd" => Confidence.JsdContrastive(),
        _ => throw new ArgumentOutOfRangeException(nameof(name), name, "The plan has no such measure."),
    };

    private static VocabularyPruning Pruning(string name) => name switch
    {
        "none" => VocabularyPruning.None,
        "fixed" => VocabularyPruning.Fixed(),
        "decaying" => VocabularyPruning.Decaying(),
        "adaptive" => VocabularyPruning.Adaptive(),
        _ => throw new ArgumentOutOfRangeException(nameof(name), name, "The plan has no such pruning."),
    };

    private double Weight(double layers, double evaluations, bool isPruned)
    {
        // With pruning the first confidence costs the whole head, the others little.
        double head = (isPruned ? Math.Min(evaluations, 1) + (evaluations / 20) : evaluations) + (evaluations == 0 ? 1 : 0);
        double policy = (layers * _block) + (head * _head);
        double full = (Depth * _block) + _head;
        return (_samples * policy) + (LatencyMeasurement.Repetitions * _latencyRows * (policy + full));
    }
}
