namespace Microsoft.ML.EarlyExit.Conversion;

/// <summary>A Hugging Face T5 checkpoint folder, open for reading: its configuration, and its tensors in mapped files.</summary>
internal sealed class T5Checkpoint : IDisposable
{
    public static T5Checkpoint Open(string folder) => throw new NotImplementedException();

    public string Folder => throw new NotImplementedException();

    public T5Configuration Configuration => throw new NotImplementedException();

    public string? TokenizerPath => throw new NotImplementedException();

    public string HeadName => throw new NotImplementedException();

    public CheckpointTensor this[string name] => throw new NotImplementedException();

    public bool Contains(string name) => throw new NotImplementedException();

    public void Dispose() => throw new NotImplementedException();
}
