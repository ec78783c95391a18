namespace WebService;

/// <summary>What a client gets in one piece.</summary>
internal sealed record GenerateResponse(string Text, int Tokens, double MeanExitLayer, string StopReason);
