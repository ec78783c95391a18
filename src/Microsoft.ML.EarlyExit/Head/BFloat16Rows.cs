using System.Runtime.CompilerServices;
using Microsoft.ML.EarlyExit.Numerics;

namespace Microsoft.ML.EarlyExit.Head;

/// <summary>Rows of which the upper halves are stored: half as much to read, and the same sums as of the whole floats.</summary>
internal readonly struct BFloat16Rows : IHeadRows
{
    public static int ElementBytes => sizeof(ushort);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static unsafe TVector Load<TSimd, TVector>(byte* row, int at)
        where TSimd : struct, ISimdOperations<TVector>
        where TVector : struct => TSimd.LoadUpper((ushort*)row + at);
}
