using System.ComponentModel.DataAnnotations;

namespace WebService;

/// <summary>What a client asks for.</summary>
public sealed record GenerateRequest([property: Required, StringLength(GenerateRequest.LongestText)] string Text)
{
    public const int LongestText = 2000;
}
