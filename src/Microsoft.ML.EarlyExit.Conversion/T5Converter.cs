using System.Reflection;
using System.Text.Json;
using Microsoft.ML.EarlyExit.Conversion.Bundle;
using Microsoft.ML.EarlyExit.Conversion.Checkpoint;
using Microsoft.ML.EarlyExit.Conversion.Graphs;
using Microsoft.ML.EarlyExit.Files;
using Microsoft.ML.EarlyExit.Model;
using Microsoft.ML.EarlyExit.Model.Bundle;
using Microsoft.ML.EarlyExit.Model.Graphs;
using Microsoft.ML.EarlyExit.Model.Tokenization;
using Microsoft.ML.EarlyExit.Model.Weights;

namespace Microsoft.ML.EarlyExit.Conversion;

/// <summary>Turns a T5 checkpoint, as Hugging Face publishes it, into a model bundle that <see cref="EarlyExitModel"/> loads.</summary>
public static class T5Converter
{
    /// <summary>Converts a checkpoint folder to a bundle folder.</summary>
    /// <param name="sourceFolder">
    /// The folder with <c>config.json</c> and <c>model.safetensors</c>, or its shards with <c>model.safetensors.index.json</c> (F32, F16 or BF16), and, where
    /// there are, <c>generation_config.json</c>, <c>spiece.model</c>, <c>tokenizer_config.json</c>, <c>added_tokens.json</c> and
    /// <c>special_tokens_map.json</c>.
    /// </param>
    /// <param name="bundleFolder">The folder to create. It is written beside and moved into place when complete: it appears whole or not at all.</param>
    /// <param name="options">How to convert; null for the defaults.</param>
    /// <param name="cancellationToken">Looked at between tensors; a cancelled conversion leaves nothing behind.</param>
    /// <returns>What there is to say about the conversion.</returns>
    /// <exception cref="ArgumentException">A folder is null or empty, or an item of <see cref="T5ConversionOptions.Keep"/> names no matrix that could be
    /// kept.</exception>
    /// <exception cref="DirectoryNotFoundException">The source folder does not exist.</exception>
    /// <exception cref="InvalidModelException">The checkpoint is damaged, incomplete, or not a T5 this library knows.</exception>
    /// <exception cref="IOException">The target exists and is not to be replaced, is no bundle, or the disk has no room.</exception>
    /// <exception cref="UnauthorizedAccessException">A file may not be read, or the target's parent not be written to.</exception>
    /// <exception cref="OperationCanceledException">Cancellation was requested.</exception>
    public static T5ConversionReport Convert(
        string sourceFolder, string bundleFolder, T5ConversionOptions? options = null, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(sourceFolder);
        ArgumentException.ThrowIfNullOrEmpty(bundleFolder);
        options ??= new T5ConversionOptions();
        CheckTarget(bundleFolder, options.Overwrite);
        using T5Checkpoint checkpoint = T5Checkpoint.Open(sourceFolder);
        List<string> warnings = [.. checkpoint.Warnings];
        T5TokenizerSettings? tokenizer = CheckpointTokenizer.Read(checkpoint, warnings);
        var types = new MatrixTypes(checkpoint.Configuration, options);
        CheckSpace(checkpoint, bundleFolder, options.Weights, types);
        string[] read = [.. checkpoint.FilesRead.Order(StringComparer.Ordinal)];
        string[] others =
            [.. Directory.EnumerateFileSystemEntries(sourceFolder).Select(path => Path.GetFileName(path)).Except(read).Order(StringComparer.Ordinal)];
        var conversion = new Conversion(checkpoint, tokenizer, options, types, cancellationToken);
        BundleManifest manifest = conversion.Run(bundleFolder);
        var summary = new QuantizationSummary(conversion.Quantized);
        return new T5ConversionReport(
            [.. warnings, .. summary.Warnings], read, others, manifest.FormatVersion, manifest.Files.Sum(file => file.Bytes), summary.Errors);
    }

    /// <summary>Writes encoder and decoder of a bundle as one ONNX file with its weights inside, for ML.NET's <c>ApplyOnnxModel</c> and other tools: what every
    /// decoder layer would choose at every position of a given target.</summary>
    /// <remarks>
    /// <para>Inputs, int64: <c>input_ids</c> and <c>attention_mask</c> [batch, sequence]; <c>decoder_input_ids</c> [batch, target], the decoder start token and
    /// the target without its last id. Outputs, for a decoder of L layers: <c>hidden_states_0</c> to <c>hidden_states_L</c>, float [batch, target, d], the
    /// residual stream after every layer, 0 being the embedding; <c>argmax_1</c> to <c>argmax_L</c>, int64 [batch, target], the likeliest id at the layer, over
    /// the full vocabulary.</para>
    /// <para>Both sides may be padded at their ends, with a mask of 0 on the input's side. What the decoder computes at padding has no meaning.</para>
    /// <para>In a pipeline <c>mlContext.Transforms.Text.ScoreLayers</c> gives the same and more, for targets of any length and models of any size.</para>
    /// </remarks>
    /// <param name="bundleFolder">The bundle.</param>
    /// <param name="filePath">The file to write; its folder must exist. It is written beside and moved into place when complete; an older file is
    /// replaced.</param>
    /// <exception cref="ArgumentException">A path is null or empty.</exception>
    /// <exception cref="DirectoryNotFoundException">The bundle or the file's folder does not exist.</exception>
    /// <exception cref="InvalidModelException">The bundle is damaged.</exception>
    /// <exception cref="NotSupportedException">The file would have 2 GB or more, which no ONNX file can have; nothing is written.</exception>
    /// <exception cref="IOException">The path is a folder or a device, or the file cannot be written or replaced.</exception>
    /// <exception cref="UnauthorizedAccessException">The folder or the older file must not be written.</exception>
    public static void ExportLayerScoring(string bundleFolder, string filePath)
    {
        ArgumentException.ThrowIfNullOrEmpty(bundleFolder);
        ArgumentException.ThrowIfNullOrEmpty(filePath);
        using ModelBundle bundle = ModelBundle.Open(bundleFolder);
        var tensors = bundle.Manifest.Tensors.ToDictionary(tensor => tensor.Name, StringComparer.Ordinal);
        var graphs = new T5GraphBuilder(bundle.Configuration, tensors, bundle.Manifest.WeightsFile);
        SelfContainedModel model;
        try
        {
            model = new SelfContainedModel(bundle, graphs.LayerScoring(bundle.Manifest.TensorNames.Head));
        }
        catch (KeyNotFoundException exception)
        {
            throw new InvalidModelException(
                $"The model bundle '{bundle.Folder}' lacks a tensor of its configuration: {exception.Message} Convert the checkpoint again.", exception);
        }

        if (model.Bytes > int.MaxValue)
        {
            throw new NotSupportedException(
                $"With its weights inside, the graph of '{bundle.Folder}' would have {model.Bytes} bytes, and an ONNX file must have less than 2 GB. "
                + "Score with mlContext.Transforms.Text.ScoreLayers, or run the bundle's own graphs where they lie.");
        }

        AtomicFile.Write(filePath, "ONNX file", model.Write);
    }

    private static void CheckTarget(string bundleFolder, bool overwrite)
    {
        if (File.Exists(bundleFolder))
            throw new IOException($"'{bundleFolder}' is a file. Name a folder that does not exist yet.");
        if (!Directory.Exists(bundleFolder))
            return;
        if (!overwrite)
            throw new IOException($"'{bundleFolder}' exists. Name another folder, or ask for it to be overwritten.");
        if (Directory.EnumerateFileSystemEntries(bundleFolder).Any() && !HoldsBundle(bundleFolder))
            throw new IOException($"'{bundleFolder}' is not a model bundle, so it is not overwritten. Name another folder.");
    }

    /// <summary>Whether the folder's manifest is a bundle's: other kinds of models have a model.json too.</summary>
    private static bool HoldsBundle(string folder)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(RegularFile.Read(Path.Combine(folder, BundleManifest.FileName), BundleManifest.LargestBytes));
            return BundleManifest.IsBundle(document.RootElement);
        }
        catch (Exception exception) when (exception is JsonException or InvalidOperationException or InvalidModelException or FileNotFoundException)
        {
            return false;
        }
    }

    private static void CheckSpace(T5Checkpoint checkpoint, string bundleFolder, WeightPrecision weights, MatrixTypes types)
    {
        long embedding = BundleTensor.ElementsOf(T5TensorShapes.Embedding(checkpoint.Configuration));
        WeightFormat format = WeightFormat.Of(StoredTypes.OfEmbedding(weights));
        long needed = types.Bytes + ((checkpoint.HeadName == T5TensorShapes.Shared ? 1 : 2) * format.ByteCount(embedding));
        string parent = Path.GetDirectoryName(Path.TrimEndingDirectorySeparator(Path.GetFullPath(bundleFolder))) ?? Path.GetFullPath(bundleFolder);
        if (DiskSpace.Available(parent) is { } available && available < needed)
        {
            throw new IOException(
                $"The bundle needs {needed} bytes, but only {available} are free where '{bundleFolder}' would lie. "
                + "Make room, or name a folder on another disk.");
        }
    }

    /// <summary>One conversion under way.</summary>
    private sealed class Conversion(
        T5Checkpoint checkpoint, T5TokenizerSettings? tokenizer, T5ConversionOptions options, MatrixTypes types, CancellationToken cancellationToken)
    {
        private readonly T5Configuration _configuration = checkpoint.Configuration;
        private readonly int _width = checkpoint.Configuration.ModelDimension;
        private readonly int _heads = checkpoint.Configuration.HeadCount;
        private readonly int _headWidth = checkpoint.Configuration.KeyValueDimension;
        private readonly int _graphHeadWidth = GraphContract.GraphHeadDimension(checkpoint.Configuration.KeyValueDimension);
        private readonly List<QuantizedTensor> _quantized = [];
        private int _tensorsDone;

        /// <summary>The matrices that were written as whole numbers.</summary>
        public IReadOnlyList<QuantizedTensor> Quantized => _quantized;

        private int GraphInner => _heads * _graphHeadWidth;

        public BundleManifest Run(string bundleFolder)
        {
            using var writer = new BundleWriter(bundleFolder);
            WriteWeights(writer);
            writer.FinishWeights();
            BundleGraphs graphs = WriteGraphs(writer);
            string? tokenizerFile = checkpoint.TokenizerPath is { } path
                ? writer.AddFile(Path.GetFileName(path), stream => stream.Write(RegularFile.Read(path, SentencepieceModel.MaxFileBytes)))
                : null;
            string version = typeof(T5Converter).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion.Split('+')[0] ?? "";
            var manifest = new BundleManifest
            {
                Format = BundleManifest.FormatName,
                FormatVersion = BundleManifest.FirstVersion,
                CreatedBy = $"Microsoft.ML.EarlyExit.Conversion {version}",
                Precision = options.Weights,
                Configuration = _configuration,
                GraphHeadDimension = _graphHeadWidth,
                Graphs = graphs,
                TensorNames = new BundleTensorNames(
                    T5TensorNames.Embedding,
                    writer.Tensors.ContainsKey(T5TensorNames.Head) ? T5TensorNames.Head : T5TensorNames.Embedding,
                    T5TensorNames.DecoderFinalNorm, T5TensorNames.DecoderRelativeBias),
                WeightsFile = BundleWriter.WeightsFileName,
                Tensors = [.. writer.Tensors.Values],
                TokenizerFile = tokenizerFile,
                Tokenizer = tokenizer,
                Files = writer.Files,
            };
            manifest = manifest with { FormatVersion = manifest.ReadingVersion };
            writer.Complete(manifest, options.Overwrite);
            options.Progress?.Report(1);
            return manifest;
        }

        private void WriteWeights(BundleWriter writer)
        {
            AddAsIs(writer, T5TensorNames.Embedding, T5TensorShapes.Shared);
            if (checkpoint.HeadName != T5TensorShapes.Shared)
                AddAsIs(writer, T5TensorNames.Head, checkpoint.HeadName);
            AddRelativeBias(writer, T5TensorNames.EncoderRelativeBias, "encoder", bidirectional: true);
            AddRelativeBias(writer, T5TensorNames.DecoderRelativeBias, "decoder", bidirectional: false);
            AddStack(writer, "encoder", _configuration.EncoderLayerCount, isDecoder: false);
            AddStack(writer, "decoder", _configuration.DecoderLayerCount, isDecoder: true);
        }

        private void AddStack(BundleWriter writer, string stack, int layers, bool isDecoder)
        {
            for (int layer = 0; layer < layers; layer++)
            {
                string from = $"{stack}.block.{layer}.layer";
                string to = $"{stack}.{layer}";
                AddAttention(writer, $"{to}.self", $"{from}.0", "SelfAttention");
                if (isDecoder)
                    AddAttention(writer, $"{to}.cross", $"{from}.1", "EncDecAttention");
                string feedForward = $"{from}.{(isDecoder ? 2 : 1)}";
                AddAsIs(writer, $"{to}.ff.norm", $"{feedForward}.layer_norm.weight");
                foreach (string part in _configuration.GatedFeedForward ? ["wi_0", "wi_1", "wo"] : (ReadOnlySpan<string>)["wi", "wo"])
                {
                    CheckpointTensor tensor = checkpoint[$"{feedForward}.DenseReluDense.{part}.weight"];
                    AddMatrix(
                        writer, $"{to}.ff.{part}", tensor.Shape[0], tensor.Shape[1],
                        (row, weights) => tensor.Read((long)row * weights.Length, weights), elements => TensorStreaming.WriteTransposed(tensor, elements));
                }
            }

            AddAsIs(writer, $"{stack}.final_norm", $"{stack}.final_layer_norm.weight");
        }

        private void AddAttention(BundleWriter writer, string to, string layer, string attention)
        {
            AddAsIs(writer, $"{to}.norm", $"{layer}.layer_norm.weight");
            AddProjection(writer, $"{to}.q", $"{layer}.{attention}.q.weight");
            AddProjection(writer, $"{to}.kv", $"{layer}.{attention}.k.weight", $"{layer}.{attention}.v.weight");
            CheckpointTensor output = checkpoint[$"{layer}.{attention}.o.weight"];
            AddMatrix(
                writer, $"{to}.o", _width, GraphInner,
                (row, weights) => ReadOutputRow(output, row, weights), elements => WriteOutputProjection(output, elements));
        }

        /// <summary>Query, key or value projections side by side: heads · head outputs, each head filled up with zeros.</summary>
        private void AddProjection(BundleWriter writer, string to, params string[] from)
        {
            CheckpointTensor[] tensors = [.. from.Select(name => checkpoint[name])];
            AddMatrix(
                writer, to, from.Length * GraphInner, _width,
                (row, weights) => ReadProjectionRow(tensors, row, weights), elements => WriteProjection(tensors, elements));
        }

        private void ReadProjectionRow(CheckpointTensor[] tensors, int row, Span<float> weights)
        {
            (int head, int at) = Math.DivRem(row % GraphInner, _graphHeadWidth);
            if (at < _headWidth)
            {
                tensors[row / GraphInner].Read((((long)head * _headWidth) + at) * _width, weights);
            }
            else
            {
                weights.Clear();
            }
        }

        private void WriteProjection(CheckpointTensor[] tensors, ElementWriter elements)
        {
            if (_graphHeadWidth == _headWidth)
            {
                TensorStreaming.WriteTransposedConcatenated(tensors, elements);
                return;
            }

            var parts = new List<TransposedPart>();
            for (int index = 0; index < tensors.Length; index++)
            {
                for (int head = 0; head < _heads; head++)
                    parts.Add(new TransposedPart(tensors[index], head * _headWidth, _headWidth, (index * GraphInner) + (head * _graphHeadWidth)));
            }

            TensorStreaming.WriteTransposed(parts, tensors.Length * GraphInner, 0, _width, elements);
        }

        private void ReadOutputRow(CheckpointTensor output, int row, Span<float> weights)
        {
            weights.Clear();
            for (int head = 0; head < _heads; head++)
            {
                output.Read((((long)row * _heads) + head) * _headWidth, weights.Slice(head * _graphHeadWidth, _headWidth));
            }
        }

        /// <summary>[heads · head, d]: each head followed by the zero rows that fill it up.</summary>
        private void WriteOutputProjection(CheckpointTensor output, ElementWriter elements)
        {
            if (_graphHeadWidth == _headWidth)
            {
                TensorStreaming.WriteTransposed(output, elements);
                return;
            }

            TransposedPart[] all = [new TransposedPart(output, 0, _width, 0)];
            float[] filler = new float[(_graphHeadWidth - _headWidth) * _width];
            for (int head = 0; head < _heads; head++)
            {
                TensorStreaming.WriteTransposed(all, _width, head * _headWidth, _headWidth, elements);
                elements.Write(filler);
            }
        }

        /// <summary>The bias by distance instead of by bucket: the graphs and the runtime then only look it up.</summary>
        private void AddRelativeBias(BundleWriter writer, string to, string stack, bool bidirectional)
        {
            CheckpointTensor tensor = checkpoint[$"{stack}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"];
            float[] byBucket = new float[tensor.ElementCount];
            tensor.Read(0, byBucket);
            int buckets = _configuration.RelativeAttentionBucketCount;
            int maxDistance = _configuration.RelativeAttentionMaxDistance;
            int reach = RelativePositionBuckets.Reach(bidirectional, buckets, maxDistance);
            int rows = bidirectional ? (2 * reach) + 1 : reach + 1;
            if ((long)rows * _heads * sizeof(float) > T5ConfigurationLimits.RelativeBiasBytes)
            {
                throw new InvalidModelException(
                    $"'{checkpoint.Folder}': a relative_attention_max_distance of {maxDistance} with {_heads} heads needs too large a table of biases.");
            }

            float[] byDistance = new float[rows * _heads];
            for (int row = 0; row < rows; row++)
            {
                int bucket = RelativePositionBuckets.Bucket(bidirectional ? row - reach : -row, bidirectional, buckets, maxDistance);
                byBucket.AsSpan(bucket * _heads, _heads).CopyTo(byDistance.AsSpan(row * _heads));
            }

            Add(writer, to, [rows, _heads], WeightPrecision.Float32, elements => elements.Write(byDistance));
        }

        private void AddAsIs(BundleWriter writer, string to, string from)
        {
            CheckpointTensor tensor = checkpoint[from];
            Add(writer, to, tensor.Shape, StoredTypes.Of(options.Weights, to, 0), elements => TensorStreaming.Write(tensor, elements));
        }

        /// <summary>A layer's matrix, which is stored with a row for each input, or as whole numbers with a row for each output.</summary>
        private void AddMatrix(
            BundleWriter writer, string name, int outputs, int inputs, MatrixRowReader readRow, Action<ElementWriter> writeTransposed)
        {
            WeightPrecision type = types[name];
            if (!WeightFormat.Of(type).HasScales)
            {
                Add(writer, name, [inputs, outputs], type, writeTransposed);
                return;
            }

            cancellationToken.ThrowIfCancellationRequested();
            _quantized.Add(MatrixQuantizer.Write(writer, name, type, outputs, inputs, readRow));
            ReportProgress();
        }

        private void Add(BundleWriter writer, string name, IReadOnlyList<int> shape, WeightPrecision type, Action<ElementWriter> write)
        {
            cancellationToken.ThrowIfCancellationRequested();
            writer.AddTensor(name, shape, type, write);
            ReportProgress();
        }

        private void ReportProgress()
        {
            int perLayer = _configuration.GatedFeedForward ? 8 : 7;
            int total = 6 + (_configuration.EncoderLayerCount * perLayer) + (_configuration.DecoderLayerCount * (perLayer + 4));
            options.Progress?.Report(Math.Min(1, ++_tensorsDone / (double)total));
        }

        private BundleGraphs WriteGraphs(BundleWriter writer)
        {
            var graphs = new T5GraphBuilder(_configuration, writer.Tensors, BundleWriter.WeightsFileName);
            int layers = _configuration.DecoderLayerCount;
            return new BundleGraphs(
                writer.AddGraph("encoder.onnx", graphs.Encoder()),
                [.. Enumerable.Range(0, layers).Select(layer => writer.AddGraph($"decoder-block-{layer + 1:00}.onnx", graphs.DecoderBlock(layer)))],
                [
                    .. Enumerable.Range(0, layers).Select(layer =>
                        writer.AddGraph($"decoder-state-keys-values-{layer + 1:00}.onnx", graphs.StateKeysValues(layer))),
                ],
                [
                    .. Enumerable.Range(0, layers).Select(layer =>
                        writer.AddGraph($"decoder-cross-keys-values-{layer + 1:00}.onnx", graphs.CrossKeysValues(layer))),
                ],
                writer.AddGraph("decoder-teacher-forced.onnx", graphs.TeacherForcedDecoder()));
        }
    }
}
