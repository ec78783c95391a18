namespace Microsoft.ML.EarlyExit.Evaluation.DataSets;

/// <summary>The form of a data set's file.</summary>
internal enum DataSetFormat
{
    /// <summary>SQuAD v1.1's JSON.</summary>
    Squad,

    /// <summary>SamSum's JSON.</summary>
    SamSum,

    /// <summary>The E2E NLG challenge's CSV.</summary>
    E2E,

    /// <summary>A JSON object per line, with id, text, and reference, references or answers.</summary>
    Rows,

    /// <summary>Two columns between tabs: text and reference.</summary>
    TwoColumns,
}
