using System.Runtime.InteropServices;

namespace Microsoft.ML.EarlyExit.Evaluation.Metrics;

/// <summary>Numbers of a corpus' rows added up.</summary>
internal static class CorpusStatistics
{
    /// <summary>The release of sacrebleu whose scores are reproduced.</summary>
    public const string Version = "2.6.0";

    /// <summary>Writes one row's numbers.</summary>
    public delegate void RowCounter(string prediction, ReadOnlySpan<string> references, Span<long> statistics);

    /// <summary>Adds up all rows; also gives how many references each has, null where they differ.</summary>
    public static (long[] Statistics, int? ReferenceCount) Sum(
        IEnumerable<string> predictions, IEnumerable<IReadOnlyList<string>> references, int statisticCount, RowCounter count)
    {
        ArgumentNullException.ThrowIfNull(predictions);
        ArgumentNullException.ThrowIfNull(references);
        long[] sum = new long[statisticCount];
        long[] row = new long[statisticCount];
        int? referenceCount = null;
        bool isSame = true;
        long rows = 0;
        using IEnumerator<string> prediction = predictions.GetEnumerator();
        using IEnumerator<IReadOnlyList<string>> reference = references.GetEnumerator();
        while (true)
        {
            bool hasPrediction = prediction.MoveNext();
            if (hasPrediction != reference.MoveNext())
            {
                string fewer = hasPrediction ? "references" : "predictions";
                throw new ArgumentException(
                    $"There are {rows} rows of {fewer}, and more of the others; each prediction needs its references.", nameof(references));
            }

            if (!hasPrediction)
                break;
            if (reference.Current is null)
                throw new ArgumentNullException(nameof(references), $"The references of row {rows} are null.");
            ReadOnlySpan<string> texts = reference.Current switch
            {
                string[] array => array,
                List<string> list => CollectionsMarshal.AsSpan(list),
                IReadOnlyList<string> other => [.. other],
            };
            count(prediction.Current, texts, row);
            for (int i = 0; i < sum.Length; i++)
                sum[i] += row[i];
            isSame &= (referenceCount ??= texts.Length) == texts.Length;
            rows++;
        }

        if (rows == 0)
            throw new ArgumentException("There are no rows, and of none there is no score.", nameof(predictions));
        return (sum, isSame ? referenceCount : null);
    }

    /// <summary>A number with so many places as Python writes it: of two equally near the even one.</summary>
    public static string Format(double value, int places) =>
        Math.Round((decimal)value, places, MidpointRounding.ToEven).ToString($"F{places}", System.Globalization.CultureInfo.InvariantCulture);
}
