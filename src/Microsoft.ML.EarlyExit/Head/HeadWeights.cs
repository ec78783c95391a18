using Microsoft.ML.EarlyExit.Model.Weights;

namespace Microsoft.ML.EarlyExit.Head;

/// <summary>The LM head's weights as they are stored, one row per token: what reads them whole, and a row of them in single precision.</summary>
/// <param name="tensor">The weights, [V, d].</param>
internal sealed unsafe class HeadWeights(WeightTensor tensor)
{
    /// <summary>The first byte of the first row.</summary>
    public void* Address => (void*)tensor.Address;

    /// <summary>What multiplies rows as they are stored: see <see cref="HeadKernel.Multiply{TRows}"/>.</summary>
    public delegate*<void*, int, int, int, float*, int, float*, int, void> Kernel { get; } = tensor.Type switch
    {
        WeightPrecision.Float32 => &HeadKernel.Multiply<Float32Rows>,
        WeightPrecision.BFloat16 => &HeadKernel.Multiply<BFloat16Rows>,
        _ => throw new NotSupportedException($"The LM head has no kernel for weights of type {tensor.Type}."),
    };

    /// <summary>What multiplies some of them, wherever they are: see <see cref="HeadKernel.MultiplyRows{TRows}"/>.</summary>
    public delegate*<void*, int, int*, int, float*, float*, void> RowsKernel { get; } =
        tensor.Type == WeightPrecision.BFloat16 ? &HeadKernel.MultiplyRows<BFloat16Rows> : &HeadKernel.MultiplyRows<Float32Rows>;

    /// <summary>Gives the weights of a token in single precision.</summary>
    public void CopyRow(int id, Span<float> row) => tensor.ReadRow(id, row);
}
