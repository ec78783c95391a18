using System.Buffers;
using Microsoft.ML.EarlyExit.Model.Weights;

namespace Microsoft.ML.EarlyExit.Conversion.Bundle;

/// <summary>Writes weights as a format stores them.</summary>
internal sealed class ElementWriter(Stream destination, WeightFormat format)
{
    private const int PartElements = 1 << 16;

    /// <summary>Writes weights, rounded where the format has fewer bits.</summary>
    public void Write(ReadOnlySpan<float> elements)
    {
        byte[] buffer = ArrayPool<byte>.Shared.Rent((int)format.ByteCount(Math.Min(PartElements, elements.Length)));
        try
        {
            for (int start = 0; start < elements.Length; start += PartElements)
            {
                ReadOnlySpan<float> part = elements.Slice(start, Math.Min(PartElements, elements.Length - start));
                Span<byte> stored = buffer.AsSpan(0, (int)format.ByteCount(part.Length));
                format.Narrow(part, stored);
                destination.Write(stored);
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }
}
