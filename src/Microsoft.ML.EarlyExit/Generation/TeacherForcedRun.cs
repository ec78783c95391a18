using System.Numerics.Tensors;
using Microsoft.ML.EarlyExit.Exit;
using Microsoft.ML.EarlyExit.Head;
using Microsoft.ML.EarlyExit.Memory;
using Microsoft.ML.EarlyExit.Runtime;
using Microsoft.ML.OnnxRuntime;

namespace Microsoft.ML.EarlyExit.Generation;

/// <summary>
/// What every layer of a model makes of given targets, one row after the other. Keeps its model alive until it is disposed. For one caller at a time.
/// </summary>
internal sealed class TeacherForcedRun : IDisposable
{
    /// <summary>Positions whose logits are computed together, at most: the head's weights are read once for them.</summary>
    public const int HeadBlock = 16;

    /// <summary>The id where no logit is the largest, because one is not a number.</summary>
    public const int Invalid = -1;

    private readonly LoadedModel _model;
    private readonly RunOptions _run;
    private readonly TeacherForcedDecoder _decoder;
    private readonly OnnxThreadPool.Lane _lane;
    private readonly NativeBuffer _normed;
    private NativeBuffer? _logits;

    /// <summary>A run that ends a call of the model's; see <see cref="LoadedModel.StartTeacherForcing"/>.</summary>
    internal TeacherForcedRun(LoadedModel model)
    {
        _model = model;
        _decoder = new TeacherForcedDecoder(
            model.Sessions, model.Configuration, _run = new RunOptions { LogSeverityLevel = OrtLoggingLevel.ORT_LOGGING_LEVEL_FATAL });
        _lane = model.Sessions.ThreadPool.CreateLane();
        _normed = new NativeBuffer((long)HeadBlock * model.Head.Width * sizeof(float));
    }

    /// <summary>Decodes a row's target.</summary>
    /// <param name="inputIds">The row's encoder ids, checked.</param>
    /// <param name="targetIds">The target, at least one id of the vocabulary, without the start token.</param>
    /// <param name="memoryLimit">Bytes that the encoder may take, and the decoder.</param>
    /// <param name="cancellationToken">Looked at between operators.</param>
    /// <returns>What is wrong with the row: it takes too much memory, or a hidden state is no number; null where nothing is.</returns>
    /// <exception cref="InvalidModelException">A graph is damaged or cannot be run.</exception>
    /// <exception cref="OperationCanceledException">Cancellation was requested.</exception>
    public string? Decode(IReadOnlyList<int> inputIds, ReadOnlySpan<int> targetIds, long memoryLimit, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        string what = $"The encoder over {inputIds.Count} tokens";
        long bytes = RowMemory.Encoder(_model.Bundle, inputIds.Count);
        string decoder = $"The decoder over a target of {targetIds.Length} tokens";
        long decoderBytes = RowMemory.TeacherForcedDecoder(
            _model.Bundle, inputIds.Count, targetIds.Length, onDevice: _model.Sessions.Device is not null);
        if ((RowMemory.Check(what, bytes, memoryLimit) ?? RowMemory.Check(decoder, decoderBytes, memoryLimit)) is { } tooLong)
            return tooLong;
        using CancellationTokenRegistration registration = cancellationToken.UnsafeRegister(static state => ((RunOptions)state!).Terminate = true, _run);
        try
        {
            using EncodedInput input = EncodedInput.Encode(_model.Sessions.Encoder, inputIds, _model.Configuration.ModelDimension, _run);
            (what, bytes) = (decoder, decoderBytes);
            _decoder.Decode(input, targetIds);
        }
        catch (Exception exception) when (RowMemory.IsExhausted(exception) && !cancellationToken.IsCancellationRequested)
        {
            return RowMemory.Exhausted(what, bytes);
        }
        catch (OnnxRuntimeException exception)
        {
            cancellationToken.ThrowIfCancellationRequested();
            throw _model.Sessions.Failure(exception);
        }

        for (int layer = 0; layer <= _model.Configuration.DecoderLayerCount; layer++)
        {
            if (!TensorPrimitives.IsFiniteAll(_decoder.Hidden(layer)))
                return $"After decoder layer {layer} a hidden state of its target holds a NaN or an infinity: the model's weights do not fit this input.";
        }

        return null;
    }

    /// <summary>The hidden state after a layer at a position of the last target: [d].</summary>
    public ReadOnlySpan<float> Hidden(int layer, int position) => _decoder.Hidden(layer, position);

    /// <summary>As <see cref="Hidden"/>, to be kept until the next target is decoded.</summary>
    public ReadOnlyMemory<float> HiddenMemory(int layer, int position) => _decoder.HiddenMemory(layer, position);

    /// <summary>The logits after a layer, over the full vocabulary, at some positions of the last target: [positions, V].</summary>
    /// <param name="layer">The layer, from 1.</param>
    /// <param name="positions">At most <see cref="HeadBlock"/>.</param>
    /// <param name="logits">The result.</param>
    public void ComputeLogits(int layer, ReadOnlySpan<int> positions, Span<float> logits)
    {
        LanguageModelHead head = _model.Head;
        Span<float> normed = _normed.Span<float>(0, positions.Length * head.Width);
        for (int index = 0; index < positions.Length; index++)
            head.Normalize(Hidden(layer, positions[index]), normed.Slice(index * head.Width, head.Width));
        head.Multiply(_lane, normed, positions.Length, logits);
    }

    /// <summary>The ids with the largest logits after a layer, over the full vocabulary, at some positions of the last target; <see cref="Invalid"/> where
    /// there is none.</summary>
    public void ArgMax(int layer, ReadOnlySpan<int> positions, Span<int> ids)
    {
        int vocabularySize = _model.Head.VocabularySize;
        _logits ??= new NativeBuffer((long)HeadBlock * vocabularySize * sizeof(float));
        for (int start = 0; start < positions.Length; start += HeadBlock)
        {
            ReadOnlySpan<int> block = positions.Slice(start, Math.Min(HeadBlock, positions.Length - start));
            Span<float> logits = _logits.Span<float>(0, block.Length * vocabularySize);
            ComputeLogits(layer, block, logits);
            for (int index = 0; index < block.Length; index++)
                ids[start + index] = LogitScan.ArgMax(logits.Slice(index * vocabularySize, vocabularySize));
        }
    }

    public void Dispose()
    {
        _logits?.Dispose();
        _normed.Dispose();
        _lane.Dispose();
        _decoder.Dispose();
        _run.Dispose();
        _model.Leave();
    }
}
