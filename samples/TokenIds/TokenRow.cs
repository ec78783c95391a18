using Microsoft.ML.Data;

namespace TokenIds;

/// <summary>A row to generate from, in ids.</summary>
internal sealed class TokenRow
{
    [VectorType]
    public int[] Ids { get; set; } = [];
}
