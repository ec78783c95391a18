namespace Microsoft.ML.EarlyExit.ModelSharing;

/// <summary>What is saved beside a transformer, in a stream of its own.</summary>
/// <param name="Name">The stream's name.</param>
/// <param name="Content">What is saved.</param>
/// <param name="Value">What it stands for.</param>
internal sealed record AttachedStream(string Name, byte[] Content, object Value);
