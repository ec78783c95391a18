namespace Microsoft.ML.EarlyExit.Tool.Commands;

/// <summary>The command line asks for what cannot be, which shows only now that files and model are known.</summary>
internal sealed class WrongUsageException(string message, Exception? inner = null) : Exception(message, inner);
