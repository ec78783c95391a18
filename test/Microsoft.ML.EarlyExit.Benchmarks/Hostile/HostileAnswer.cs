namespace Microsoft.ML.EarlyExit.Benchmarks;

/// <summary>What a worker says of one input, a line of JSON.</summary>
/// <param name="Outcome">What came of it.</param>
/// <param name="Type">The exception's type; empty where there was none.</param>
/// <param name="Message">The exception's message, or the row's error.</param>
/// <param name="Stack">The exception with its stack trace.</param>
/// <param name="PeakBytes">The highest working set meanwhile; 0 where it is not known.</param>
/// <param name="Left">What was left in the temporary folder.</param>
internal sealed record HostileAnswer(HostileOutcome Outcome, string Type, string Message, string Stack, long PeakBytes, string Left);
