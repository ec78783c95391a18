namespace Microsoft.ML.EarlyExit.Tool.Rows;

/// <summary>One row to generate from or to score, or the reason why it is none.</summary>
/// <param name="LineNumber">Its line in the input file, from 1; 0 for a row that comes from no file.</param>
/// <param name="Id">Its id as raw JSON.</param>
/// <param name="OtherFields">The fields that only pass through, as raw JSON: <c>,"name":value</c> each.</param>
/// <param name="Input">What to generate from; null where <paramref name="Error"/> says why there is nothing.</param>
/// <param name="Error">What is wrong with the row; else null.</param>
internal sealed record GenerationRow(long LineNumber, ReadOnlyMemory<byte> Id, ReadOnlyMemory<byte> OtherFields, GenerationInput? Input, string? Error)
{
    /// <summary>What is to be scored; null where the row has none.</summary>
    public GenerationInput? Target { get; init; }

    public static ReadOnlyMemory<byte> NullId { get; } = "null"u8.ToArray();

    /// <summary>The row of a text that was given without id.</summary>
    public static GenerationRow FromText(string text) => new(0, NullId, default, GenerationInput.FromText(text), null);

    /// <summary>A message about this row that says which one it is.</summary>
    public string Locate(string message) => LineNumber == 0 ? message : $"line {LineNumber}: {message}";
}
