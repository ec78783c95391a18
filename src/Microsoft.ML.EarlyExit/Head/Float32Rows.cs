using System.Runtime.CompilerServices;
using Microsoft.ML.EarlyExit.Numerics;

namespace Microsoft.ML.EarlyExit.Head;

/// <summary>Rows of single precision.</summary>
internal readonly struct Float32Rows : IHeadRows
{
    public static int ElementBytes => sizeof(float);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static unsafe TVector Load<TSimd, TVector>(byte* row, int at)
        where TSimd : struct, ISimdOperations<TVector>
        where TVector : struct => TSimd.Load((float*)row + at);
}
