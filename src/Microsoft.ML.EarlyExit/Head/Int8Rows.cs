using System.Runtime.CompilerServices;
using Microsoft.ML.EarlyExit.Numerics;

namespace Microsoft.ML.EarlyExit.Head;

/// <summary>Rows of signed bytes: what is multiplied is the numbers themselves, so that a row's product is still to be scaled.</summary>
internal readonly struct Int8Rows : IHeadRows
{
    public static int ElementBytes => sizeof(sbyte);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static unsafe TVector Load<TSimd, TVector>(byte* row, int at)
        where TSimd : struct, ISimdOperations<TVector>
        where TVector : struct => TSimd.LoadSigned((sbyte*)row + at);
}
