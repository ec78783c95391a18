namespace WebService;

/// <summary>What a client gets for every token; JSON has no NaN, so a token without a confidence has null.</summary>
internal sealed record TokenEvent(string Text, int ExitLayer, float? Confidence, string? StopReason);
