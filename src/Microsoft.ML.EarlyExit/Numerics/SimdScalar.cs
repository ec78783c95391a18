namespace Microsoft.ML.EarlyExit.Numerics;

/// <summary>One float at a time: what the vectors are compared with, and where there are none.</summary>
internal readonly struct SimdScalar : ISimdOperations<float>
{
    public static int Count => 1;

    public static bool HasManyRegisters => false;

    public static float Zero => 0;

    public static unsafe float Load(float* source) => *source;

    public static unsafe float LoadUpper(ushort* source) => BitConverter.UInt32BitsToSingle((uint)*source << 16);

    public static float MultiplyAdd(float left, float right, float addend) => float.MultiplyAddEstimate(left, right, addend);

    public static float Sum(float vector) => vector;

    public static float Repeat(float value) => value;

    public static unsafe void Store(float vector, float* target) => *target = vector;
}
