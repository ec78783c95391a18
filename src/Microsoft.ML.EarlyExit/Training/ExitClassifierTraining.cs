using System.Collections.Immutable;
using System.Globalization;
using System.Runtime.ExceptionServices;
using Microsoft.ML.Data;
using Microsoft.ML.EarlyExit.DataViews;
using Microsoft.ML.EarlyExit.Exit.Confidences;
using Microsoft.ML.EarlyExit.ModelSharing;
using Microsoft.ML.Runtime;
using Microsoft.ML.Trainers;
using Microsoft.ML.Transforms;

namespace Microsoft.ML.EarlyExit.Training;

/// <summary>Trains an exit classifier on cached examples.</summary>
internal sealed class ExitClassifierTraining
{
    private readonly MLContext _context;
    private readonly ExitClassifierOptions _options;
    private readonly IEstimator<ITransformer> _trainer;
    private readonly IDataView _examples;
    private readonly IHost _host;
    private readonly int _width;
    private readonly int _layerCount;
    private readonly CancellationToken _cancellationToken;

    private ExitClassifierTraining(MLContext context, ExitClassifierOptions options, ExitExampleSource source)
    {
        _context = context;
        _options = options;
        _host = source.Host;
        _width = source.Model.Configuration.ModelDimension;
        _layerCount = source.Model.Configuration.DecoderLayerCount;
        _cancellationToken = source.CancellationToken;

        // One thread reads the cache; several would each copy all examples first.
        _trainer = options.Trainer ?? context.BinaryClassification.Trainers.LbfgsLogisticRegression(
            new LbfgsLogisticRegressionBinaryTrainer.Options
            {
                LabelColumnName = ExitExampleColumns.Label,
                FeatureColumnName = ExitExampleColumns.Features,
                NumberOfThreads = 1,
            });

        // All columns at once, so that every hidden state is computed once.
        _examples = context.Data.Cache(new ExitExampleView(source), ExitExampleColumns.All);
    }

    public static ExitClassifier Train(MLContext context, IDataView data, ExitClassifierOptions options, CancellationToken cancellationToken)
    {
        var source = new ModelSource(options.ModelPath, options.Model, options.ModelOptions);
        ArgumentException.ThrowIfNullOrWhiteSpace(options.InputColumnName, nameof(options.InputColumnName));
        if (options.TargetColumnName is not null)
            ArgumentException.ThrowIfNullOrWhiteSpace(options.TargetColumnName, nameof(options.TargetColumnName));

        IHost host = ((IHostEnvironment)context).Register("TrainExitClassifier");
        using ModelLease lease = source.Lease(host);
        ExitExampleSource examples = CreateSource(context, data, options, lease.Model, host) with { CancellationToken = cancellationToken };
        return new ExitClassifierTraining(context, options, examples).Train();
    }

    /// <summary>The examples' source; nothing of it is read.</summary>
    internal static ExitExampleSource CreateSource(MLContext context, IDataView data, ExitClassifierOptions options, EarlyExitModel model, IHost host)
    {
        TextGenerationOptions generation = (options.GenerationOptions ?? new TextGenerationOptions()) with { Exit = null, Trace = false };
        model.CheckOptions(generation);
        int layers = model.Configuration.DecoderLayerCount;
        if (options.MinimumLayer >= layers)
        {
            throw new ArgumentException(
                $"MinimumLayer is {options.MinimumLayer}, but the model has {layers} decoder layers; "
                + "it must be below that, or no token can exit early.",
                nameof(options));
        }

        ExitExampleSource.CheckColumn(data, new InputColumn(options.InputColumnName), model);
        var sampling = new ExampleSampling(options.Seed, options.HeldOutFraction, options.MaxTokensPerRow);
        if (options.TargetColumnName is { } target)
        {
            ExitExampleSource.CheckColumn(data, new InputColumn(target, "target"), model);
            return new ExitExampleSource(data, options.InputColumnName, target, model, generation, options.MinimumLayer, sampling, host);
        }

        string generated = "Target";
        while (data.Schema.GetColumnOrNull(generated) is not null)
            generated += "_";
        IDataView withTargets = context.Transforms.Text.GenerateText(new TextGenerationEstimator.Options
        {
            TokenIdsColumnName = generated,
            InputColumnName = options.InputColumnName,
            Model = model,
            GenerationOptions = generation,
        }).Fit(data).Transform(data);
        return new ExitExampleSource(withTargets, options.InputColumnName, generated, model, generation, options.MinimumLayer, sampling, host)
        {
            HasGeneratedTargets = true,
        };
    }

    private ExitClassifier Train()
    {
        using IChannel channel = _host.Start("Training an exit classifier");
        Tally[] tallies = Count(out int heldOutRows);
        Check(tallies, channel);
        var rows = new LinearProbe[_options.OneProbePerLayer ? _layerCount : 1];
        Array.Fill(rows, new LinearProbe(new double[_width], 0));
        if (_options.OneProbePerLayer)
        {
            for (int layer = _options.MinimumLayer; layer < _layerCount; layer++)
                rows[layer - 1] = TrainLayer(layer, tallies[layer].Training, channel);
        }
        else
        {
            rows[0] = TrainOn(place => !place.IsHeldOut);
        }

        var probe = new ClassifierProbe(
            [.. rows.Select(row => row.Weights.Select(weight => (float)weight).ToArray())], [.. rows.Select(row => (float)row.Bias)]);
        ExitClassifierLayer[] layers = Measure(probe, tallies, heldOutRows);
        foreach (string problem in layers.Select(layer => layer.HeldOutProblem).OfType<string>())
            channel.Warning(MessageSensitivity.None, problem);
        return new ExitClassifier(probe, _options.MinimumLayer, layers);
    }

    private LinearProbe TrainLayer(int layer, (int Count, int Agreeing) training, IChannel channel)
    {
        if (training.Agreeing > 0 && training.Agreeing < training.Count)
            return TrainOn(place => !place.IsHeldOut && place.Layer == layer);
        string all = training.Agreeing > 0 ? "every example agrees" : "no example agrees";
        channel.Warning(MessageSensitivity.None, $"At layer {layer} {all} with the last layer: its probe gives the same confidence for every token.");
        return LinearProbe.Constant(_width, training.Agreeing, training.Count);
    }

    private LinearProbe TrainOn(Func<ExamplePlace, bool> isWanted)
    {
        _cancellationToken.ThrowIfCancellationRequested();
        // The predicate of ML.NET's filter says which rows to drop.
        IDataView examples = _context.Data.FilterByCustomPredicate<ExamplePlace>(_examples, place => !isWanted(place));
        NormalizingTransformer standardising = _context.Transforms.NormalizeMeanVariance(ExitExampleColumns.Features, fixZero: false).Fit(examples);
        ITransformer trained = _trainer.Fit(standardising.Transform(examples));
        var standardised = (NormalizingTransformer.AffineNormalizerModelParameters<ImmutableArray<float>>)standardising.GetNormalizerModelParameters(0);
        return LinearProbe.From(trained, _width).Unfold(standardised);
    }

    /// <summary>Reads all examples once, which fills the cache, and counts their labels.</summary>
    private Tally[] Count(out int heldOutRows)
    {
        var tallies = new Tally[_layerCount];
        heldOutRows = 0;
        bool wasHeldOut = false;
        int last = -1;
        try
        {
            using DataViewRowCursor cursor = _examples.GetRowCursor(
                Columns(ExitExampleColumns.Label, ExitExampleColumns.Layer, ExitExampleColumns.Position, ExitExampleColumns.IsHeldOut));
            ValueGetter<bool> getLabel = cursor.GetGetter<bool>(_examples.Schema[ExitExampleColumns.Label]);
            ValueGetter<int> getLayer = cursor.GetGetter<int>(_examples.Schema[ExitExampleColumns.Layer]);
            ValueGetter<bool> getIsHeldOut = cursor.GetGetter<bool>(_examples.Schema[ExitExampleColumns.IsHeldOut]);
            ValueGetter<int> getPosition = cursor.GetGetter<int>(_examples.Schema[ExitExampleColumns.Position]);
            bool label = false, isHeldOut = false;
            int layer = 0, position = 0;
            while (cursor.MoveNext())
            {
                getLabel(ref label);
                getLayer(ref layer);
                getPosition(ref position);
                getIsHeldOut(ref isHeldOut);

                // Positions rise within a row, and each has the layers in their order. (Of neighbours of which few tokens are kept, two may count as one.)
                if (isHeldOut && layer == _options.MinimumLayer && (!wasHeldOut || position <= last))
                    heldOutRows++;
                (wasHeldOut, last) = (isHeldOut, position);
                tallies[layer].Add(isHeldOut, label);
            }
        }
        catch (InvalidOperationException exception) when (exception.InnerException is { } cause)
        {
            // The cache is filled on a thread of its own, and says of what happens there only that it happened.
            ExceptionDispatchInfo.Throw(cause);
        }

        return tallies;
    }

    private void Check(Tally[] tallies, IChannel channel)
    {
        int examples = tallies.Sum(tally => tally.Training.Count);
        int agreeing = tallies.Sum(tally => tally.Training.Agreeing);
        int heldOut = tallies.Sum(tally => tally.HeldOut.Count);
        if (examples + heldOut == 0)
            throw new InvalidOperationException("There is no row to train on: the data is empty.");
        if (examples == 0)
            throw new InvalidOperationException("There is no row to train on: all are held out. Give more rows, or a smaller HeldOutFraction.");
        bool canLearn = _options.OneProbePerLayer
            ? tallies.Any(tally => tally.Training.Agreeing > 0 && tally.Training.Agreeing < tally.Training.Count)
            : agreeing > 0 && agreeing < examples;
        if (!canLearn)
        {
            string what = agreeing == examples ? "Every layer agrees with the last one on every token"
                : agreeing == 0 ? "No layer agrees with the last one on any token"
                : "Every layer agrees with the last one on all tokens or on none";
            throw new InvalidOperationException(
                $"{what} of the {examples} examples, so there is nothing to tell apart. Give more rows, or use a static exit instead of a classifier.");
        }

        channel.Info(MessageSensitivity.None, string.Create(
            CultureInfo.InvariantCulture,
            $"Trains on {examples} examples, of which {100.0 * agreeing / examples:F1} % agree with the last layer, and measures on {heldOut}; "
            + $"their hidden states take {(examples + heldOut) * (double)_width * sizeof(float) / (1 << 20):F0} MB of memory."));
        if (heldOut == 0 && _options.HeldOutFraction > 0)
            channel.Warning(MessageSensitivity.None, "Too few rows to hold one out: the classifier is not measured.");
    }

    private ExitClassifierLayer[] Measure(ClassifierProbe probe, Tally[] tallies, int heldOutRows)
    {
        var predictions = new List<HeldOutPrediction>[_layerCount];
        for (int layer = 0; layer < _layerCount; layer++)
            predictions[layer] = [];
        using (DataViewRowCursor cursor = _examples.GetRowCursor(_examples.Schema.Where(column => column.Name != ExitExampleColumns.Position)))
        {
            ValueGetter<VBuffer<float>> getFeatures = cursor.GetGetter<VBuffer<float>>(_examples.Schema[ExitExampleColumns.Features]);
            ValueGetter<bool> getLabel = cursor.GetGetter<bool>(_examples.Schema[ExitExampleColumns.Label]);
            ValueGetter<int> getLayer = cursor.GetGetter<int>(_examples.Schema[ExitExampleColumns.Layer]);
            ValueGetter<bool> getIsHeldOut = cursor.GetGetter<bool>(_examples.Schema[ExitExampleColumns.IsHeldOut]);
            VBuffer<float> features = default;
            bool label = false, isHeldOut = false;
            int layer = 0;
            float[] hidden = new float[_width];
            while (cursor.MoveNext())
            {
                getIsHeldOut(ref isHeldOut);
                if (!isHeldOut)
                    continue;
                getFeatures(ref features);
                getLabel(ref label);
                getLayer(ref layer);
                features.CopyTo(hidden);
                float confidence = probe.Evaluate(layer, hidden);
                predictions[layer].Add(new HeldOutPrediction { Label = label, Score = confidence, PredictedLabel = confidence > 0.5f });
            }
        }

        return
        [
            .. Enumerable.Range(_options.MinimumLayer, _layerCount - _options.MinimumLayer).Select(layer => new ExitClassifierLayer
            {
                Layer = layer,
                TrainingExampleCount = tallies[layer].Training.Count,
                TrainingAgreement = (double)tallies[layer].Training.Agreeing / tallies[layer].Training.Count,
                HeldOutExampleCount = tallies[layer].HeldOut.Count,
                HeldOutAgreement = (double)tallies[layer].HeldOut.Agreeing / tallies[layer].HeldOut.Count,
                HeldOutAccuracy = (double)predictions[layer].Count(prediction => prediction.PredictedLabel == prediction.Label) / predictions[layer].Count,
                HeldOutAreaUnderRocCurve = AreaUnderRocCurve(predictions[layer]),
                HeldOutProblem = DescribeHeldOut(layer, tallies[layer], heldOutRows),
            }),
        ];
    }

    /// <summary>What held-out examples of one kind only leave open, and how many would not.</summary>
    private string? DescribeHeldOut(int layer, Tally tally, int heldOutRows)
    {
        bool lacksDisagreement = tally.HeldOut.Agreeing == tally.HeldOut.Count;
        if (tally.HeldOut.Count == 0 || (!lacksDisagreement && tally.HeldOut.Agreeing > 0))
            return null;
        string missing = lacksDisagreement ? "disagreement" : "agreement";
        int trained = tally.Training.Count;
        int found = lacksDisagreement ? trained - tally.Training.Agreeing : tally.Training.Agreeing;

        // So many independent examples hold one with a probability of 95 %; where training has none either, the rule of three bounds its share by 3/n.
        double needed = found == 0 ? trained : found == trained ? 1 : Math.Ceiling(Math.Log(0.05) / Math.Log(1 - ((double)found / trained)));
        double rows = Math.Max(heldOutRows + 1, Math.Ceiling(needed * heldOutRows / tally.HeldOut.Count));
        double all = Math.Ceiling(Math.Round(rows / _options.HeldOutFraction, 6));
        string start = FormattableString.Invariant(
            $"The {tally.HeldOut.Count} held-out examples of layer {layer} hold no {missing} with the last layer, so accuracy and area say nothing there. ");
        return start + (found == 0
            ? FormattableString.Invariant($"Nor do the {trained} training examples: its share is below {300.0 / trained:0.##} % by the rule of three, and ")
                + FormattableString.Invariant($"more than about {rows} held-out rows, {all} rows in all, would be needed to find one.")
            : FormattableString.Invariant($"Of the training examples {100.0 * found / trained:0.##} % are such: ")
                + FormattableString.Invariant($"about {rows} held-out rows, {all} rows in all, would hold one with a probability of 95 %")
                + ", more where they come together.");
    }

    private double AreaUnderRocCurve(IReadOnlyCollection<HeldOutPrediction> predictions) =>
        predictions.Select(prediction => prediction.Label).Distinct().Count() < 2
            ? double.NaN
            : _context.BinaryClassification.EvaluateNonCalibrated(_context.Data.LoadFromEnumerable(predictions)).AreaUnderRocCurve;

    private IEnumerable<DataViewSchema.Column> Columns(params string[] names) => names.Select(name => _examples.Schema[name]);

    /// <summary>The examples of one layer, counted by label.</summary>
    private struct Tally
    {
        public (int Count, int Agreeing) Training;
        public (int Count, int Agreeing) HeldOut;

        public void Add(bool isHeldOut, bool agrees)
        {
            ref (int Count, int Agreeing) counts = ref isHeldOut ? ref HeldOut : ref Training;
            counts.Count = checked(counts.Count + 1);
            counts.Agreeing += agrees ? 1 : 0;
        }
    }
}
