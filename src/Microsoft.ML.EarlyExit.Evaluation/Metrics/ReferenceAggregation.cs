namespace Microsoft.ML.EarlyExit;

/// <summary>What is made of a prediction's scores against several references.</summary>
public enum ReferenceAggregation
{
    /// <summary>For each type on its own, the scores against the reference of the largest F-measure, the first of equal ones.</summary>
    Best,

    /// <summary>For each type, the mean of each number over all references.</summary>
    Average,
}
