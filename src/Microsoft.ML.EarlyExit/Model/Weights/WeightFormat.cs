using System.Diagnostics.CodeAnalysis;
using DataType = Microsoft.ML.EarlyExit.Onnx.TensorProto.Types.DataType;

namespace Microsoft.ML.EarlyExit.Model.Weights;

/// <summary>
/// How the weights of one precision lie in the weights file, little endian: their size, and the way to single precision and back. Of a precision with scales
/// what is here called a weight is the whole number that a scale multiplies: see <see cref="QuantizedMatrix"/>.
/// </summary>
internal abstract unsafe class WeightFormat
{
    /// <summary>Every format, in the order of <see cref="WeightPrecision"/>.</summary>
    public static IReadOnlyList<WeightFormat> All { get; } = [new Float32Format(), new BFloat16Format(), new Int8Format(), new Int4Format()];

    public abstract WeightPrecision Precision { get; }

    /// <summary>What manifests and options call it.</summary>
    public abstract string Name { get; }

    /// <summary>Bits of one weight.</summary>
    public abstract int ElementBits { get; }

    /// <summary>Bytes at multiples of which every tensor begins.</summary>
    public int Alignment => Math.Max(1, ElementBits / 8);

    /// <summary>Whether the weights are whole numbers, of which every block has a scale.</summary>
    public virtual bool HasScales => false;

    /// <summary>What graphs call it.</summary>
    public abstract DataType OnnxType { get; }

    /// <summary>The names of all formats, for messages.</summary>
    public static string Names => string.Join(", ", All.Select(format => format.Name));

    public static WeightFormat Of(WeightPrecision precision) => All[(int)precision];

    /// <summary>The format that manifests and options call so.</summary>
    public static bool TryFind(string? name, [NotNullWhen(true)] out WeightFormat? format) =>
        (format = All.FirstOrDefault(one => one.Name == name)) is not null;

    /// <summary>Bytes of so many weights.</summary>
    public long ByteCount(long elements) => (checked(elements * ElementBits) + 7) / 8;

    /// <summary>Gives stored weights in single precision, exactly.</summary>
    /// <param name="source">The first of them.</param>
    /// <param name="destination">Takes as many as it has room for.</param>
    public abstract void Widen(byte* source, Span<float> destination);

    /// <summary>Rounds weights to the nearest that can be stored, of two that are equally near to the even one.</summary>
    /// <param name="source">The weights.</param>
    /// <param name="destination">Their bytes, as many as <see cref="ByteCount"/> says.</param>
    public abstract void Narrow(ReadOnlySpan<float> source, Span<byte> destination);
}
