using Microsoft.ML.EarlyExit.Head;
using Microsoft.ML.EarlyExit.Model.Bundle;
using Microsoft.ML.EarlyExit.Runtime;

namespace Microsoft.ML.EarlyExit.Conversion.Tests;

/// <summary>The library's own head over a bundle's weights.</summary>
internal sealed class BundleHead : IDisposable
{
    private readonly ModelBundle _bundle;
    private readonly ModelSessions _sessions;
    private readonly OnnxThreadPool.Lane _lane;
    private readonly LanguageModelHead _head;

    public BundleHead(string bundle)
    {
        _bundle = ModelBundle.Open(bundle);
        _sessions = new ModelSessions(_bundle, new EarlyExitModelOptions());
        _lane = _sessions.ThreadPool.CreateLane();
        _head = new LanguageModelHead(_bundle, _sessions.ThreadCount);
    }

    /// <summary>Hidden states [count, d] of any layer → logits [count, V].</summary>
    public float[] Logits(ReadOnlySpan<float> states)
    {
        int count = states.Length / _head.Width;
        float[] normed = new float[states.Length];
        for (int index = 0; index < count; index++)
            _head.Normalize(states.Slice(index * _head.Width, _head.Width), normed.AsSpan(index * _head.Width, _head.Width));
        float[] logits = new float[count * _head.VocabularySize];
        _head.Multiply(_lane, normed, count, logits);
        return logits;
    }

    public void Dispose()
    {
        _lane.Dispose();
        _sessions.Dispose();
        _bundle.Dispose();
    }
}
