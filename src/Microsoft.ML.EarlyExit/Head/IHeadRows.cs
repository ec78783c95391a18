using Microsoft.ML.EarlyExit.Numerics;

namespace Microsoft.ML.EarlyExit.Head;

/// <summary>How a kernel reads the head's rows: floats, or what is stored of them in fewer bits.</summary>
internal interface IHeadRows
{
    static abstract int ElementBytes { get; }

    /// <summary>Weights of a row from one of them on, in single precision.</summary>
    static abstract unsafe TVector Load<TSimd, TVector>(byte* row, int at)
        where TSimd : struct, ISimdOperations<TVector>
        where TVector : struct;
}
