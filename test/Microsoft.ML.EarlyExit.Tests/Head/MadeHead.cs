using Microsoft.ML.EarlyExit.Exit;
using Microsoft.ML.EarlyExit.Head;
using Microsoft.ML.EarlyExit.Memory;
using Microsoft.ML.EarlyExit.Model.Bundle;
using Microsoft.ML.EarlyExit.Model.Weights;
using Microsoft.ML.EarlyExit.Runtime;

namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>An LM head of given rows, with its screen.</summary>
internal sealed unsafe class MadeHead : IDisposable
{
    private readonly NativeBuffer _weights;
    private readonly NativeBuffer _input;
    private readonly NativeBuffer _logits;
    private readonly ScreenProduct _estimates;

    public MadeHead(float[][] rows, bool isUpperHalf = false)
    {
        int width = rows[0].Length;
        _weights = new NativeBuffer((long)rows.Length * width * sizeof(float));
        _input = new NativeBuffer(2L * width * sizeof(float));
        _logits = new NativeBuffer(2L * rows.Length * sizeof(float));
        for (int row = 0; row < rows.Length; row++)
        {
            if (!isUpperHalf)
                rows[row].CopyTo(_weights.Span<float>((long)row * width, width));
            for (int at = 0; at < width && isUpperHalf; at++)
                _weights.Span<ushort>(((long)row * width) + at, 1)[0] = (ushort)(BitConverter.SingleToUInt32Bits(rows[row][at]) >> 16);
        }

        WeightPrecision type = isUpperHalf ? WeightPrecision.BFloat16 : WeightPrecision.Float32;
        var tensor = new WeightTensor(new BundleTensor("head", [rows.Length, width], 0, type), (byte*)_weights.Address);
        T5Configuration configuration = TestModels.Model(TestModels.Demo).Configuration with { ModelDimension = width, VocabularySize = rows.Length };
        Head = new LanguageModelHead(tensor, default, configuration, threadCount: 2);
        Lane = TestModels.Model(TestModels.Demo).Sessions.ThreadPool.CreateLane();
        Head.MakeScreen(Lane, always: true);
        _estimates = Head.CreateEstimates(Lane)!;
        Screened = new ScreenedLogits(Head, Head.Screen!, _estimates, Lane, new int[rows.Length], new float[rows.Length]);
    }

    public LanguageModelHead Head { get; }

    public OnnxThreadPool.Lane Lane { get; }

    public ScreenedLogits Screened { get; }

    public Span<float> Logits => _logits.Span<float>(0, Head.VocabularySize);

    /// <summary>What the whole product gives.</summary>
    public float[] Whole(float[] input)
    {
        float[] logits = new float[Head.VocabularySize];
        Head.Multiply(Lane, input, 1, logits);
        return logits;
    }

    public float[] Estimates(float[] inputs, int count, bool isFine)
    {
        float[] logits = new float[count * Head.VocabularySize];
        _estimates.Run(inputs, count, isFine, logits);
        return logits;
    }

    /// <summary>Estimates the logits of an input, and makes the best two exact.</summary>
    public void Settle(float[] input, bool isFine, params ReadOnlySpan<int> touched)
    {
        input.CopyTo(_input.Span<float>(0, input.Length));
        _estimates.Run(input, 1, isFine, Logits);
        Screened.Settle(_input.Floats(0, input.Length), _logits.Floats(0, Head.VocabularySize), touched, -1);
    }

    /// <summary>The logits, with the sum as a confidence takes it.</summary>
    public LayerLogits Sum()
    {
        var logits = new LayerLogits(count => new float[count]);
        logits.Set(_logits.Floats(0, Head.VocabularySize), isFull: true, keep: false);
        if (!Screened.IsExact)
            logits.SetSum(Screened.LogSumExp, Screened.SumError);
        return logits;
    }

    public void Dispose()
    {
        Lane.Dispose();
        Head.Dispose();
        _estimates.Dispose();
        _weights.Dispose();
        _input.Dispose();
        _logits.Dispose();
    }
}
