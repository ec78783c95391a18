namespace Microsoft.ML.EarlyExit;

/// <summary>A checkpoint, bundle or tokenizer file is damaged, incomplete, or not what it claims to be; the message says what, where and what to do.</summary>
public sealed class InvalidModelException : Exception
{
    /// <summary>Creates the exception.</summary>
    /// <param name="message">What is wrong, where, and what to do.</param>
    /// <param name="innerException">The cause, if another exception was.</param>
    public InvalidModelException(string message, Exception? innerException = null)
        : base(message, innerException)
    {
    }
}
