namespace Microsoft.ML.EarlyExit;

/// <summary>The weight w of the contrastive scores inside the plausible set.</summary>
public enum PlausibleSetWeight
{
    /// <summary>w = 1.</summary>
    One,

    /// <summary>w = the expert's probability of the plausible set, so that the scores of all tokens sum to 1.</summary>
    Mass,
}
