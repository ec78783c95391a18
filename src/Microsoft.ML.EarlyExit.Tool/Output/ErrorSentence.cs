namespace Microsoft.ML.EarlyExit.Tool.Output;

/// <summary>An exception as one line for a person.</summary>
internal static class ErrorSentence
{
    /// <summary>The message of an exception whose message says all there is to say; any other one with the advice to ask for its stack trace.</summary>
    public static string Of(Exception exception, bool hint) =>
        exception is InvalidModelException or InvalidDataException or IOException or UnauthorizedAccessException or ArgumentException || !hint
            ? Message(exception)
            : $"{Message(exception)} (Unexpected {exception.GetType().Name}; --verbose shows where it happened.)";

    /// <summary>The message on one line, without the parameter and value that the runtime appends to an argument's.</summary>
    public static string Message(Exception exception)
    {
        string message = exception is ArgumentException ? exception.Message.Split(" (Parameter '")[0] : exception.Message;
        return string.Join(' ', message.Split(['\r', '\n'], StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries));
    }
}
