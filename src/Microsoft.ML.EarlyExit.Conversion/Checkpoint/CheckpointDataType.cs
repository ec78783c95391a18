namespace Microsoft.ML.EarlyExit.Conversion.Checkpoint;

/// <summary>How a checkpoint stores one tensor's elements.</summary>
internal enum CheckpointDataType
{
    /// <summary>IEEE single precision.</summary>
    F32,

    /// <summary>IEEE half precision.</summary>
    F16,

    /// <summary>The upper half of an IEEE single.</summary>
    BF16,
}
