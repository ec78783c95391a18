namespace Microsoft.ML.EarlyExit;

/// <summary>A loop as the operator of <see cref="NativeApi"/> takes it: <see cref="Body"/> is called with <see cref="State"/> and every number below
/// <see cref="Count"/>.</summary>
internal unsafe struct LoopJob
{
    public delegate* unmanaged[Cdecl]<void*, nuint, void> Body;
    public void* State;
    public nuint Count;
}
