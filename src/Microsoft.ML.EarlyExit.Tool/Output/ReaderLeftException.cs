namespace Microsoft.ML.EarlyExit.Tool.Output;

/// <summary>Whoever read standard output reads no more, as <c>head</c> does: nothing is left to do, and nothing is wrong.</summary>
internal sealed class ReaderLeftException() : IOException("The reader of standard output has left.");
