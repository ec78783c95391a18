namespace Microsoft.ML.EarlyExit.Numerics;

/// <summary>What a dot-product kernel needs of a vector width, so that one kernel serves all and the scalar reference too.</summary>
internal interface ISimdOperations<TVector>
{
    static abstract int Count { get; }

    /// <summary>Whether sixteen sums, and what they are made of, fit into the processor's registers.</summary>
    static abstract bool HasManyRegisters { get; }

    static abstract TVector Zero { get; }

    static abstract unsafe TVector Load(float* source);

    /// <summary>Loads floats of which only the upper halves are stored.</summary>
    static abstract unsafe TVector LoadUpper(ushort* source);

    static abstract TVector MultiplyAdd(TVector left, TVector right, TVector addend);

    static abstract float Sum(TVector vector);

    static abstract TVector Repeat(float value);

    static abstract unsafe void Store(TVector vector, float* target);
}
