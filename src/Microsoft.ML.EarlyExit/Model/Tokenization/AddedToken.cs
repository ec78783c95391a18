namespace Microsoft.ML.EarlyExit.Model.Tokenization;

/// <summary>A token that is found in a text before the rest is segmented, with Hugging Face's flags.</summary>
/// <param name="Id">The id.</param>
/// <param name="Content">What stands for it in texts.</param>
/// <param name="IsSpecial">Whether decoding can skip it.</param>
/// <param name="StripsLeft">Whether it swallows the white space before it (<c>lstrip</c>).</param>
/// <param name="StripsRight">Whether it swallows the white space after it (<c>rstrip</c>).</param>
/// <param name="IsSingleWord">Whether it is found only between spaces or ends of the text (<c>single_word</c>).</param>
internal sealed record AddedToken(int Id, string Content, bool IsSpecial, bool StripsLeft, bool StripsRight, bool IsSingleWord)
{
    /// <summary>More characters than any such token has.</summary>
    public const int LongestContent = 1 << 12;
}
