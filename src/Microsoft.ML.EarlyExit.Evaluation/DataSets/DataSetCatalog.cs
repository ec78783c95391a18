using Microsoft.ML.EarlyExit;
using Microsoft.ML.EarlyExit.Evaluation.DataSets;
using Microsoft.ML.EarlyExit.Evaluation.Files;

namespace Microsoft.ML;

/// <summary>Loading data sets that text generation is measured on, in <c>mlContext.Data</c>.</summary>
/// <remarks>
/// Loading only looks whether the file is there: it is read when the rows are, again each time, and must stay unchanged meanwhile. What is wrong with it throws
/// an <see cref="InvalidDataException"/> at the row that has it, whose message names the file, the line, and the field; rows before it are read as usual.
/// </remarks>
public static class DataSetCatalog
{
    /// <summary>Loads a file of SQuAD v1.1, such as <c>dev-v1.1.json</c>.</summary>
    /// <remarks>
    /// <para>A row for every question, in the file's order, with the text columns <c>Id</c>, <c>Text</c>, <c>Question</c> and <c>Context</c>, and
    /// <c>Answers</c>, a vector of at least one text. <c>Text</c> is what T5 was trained to answer: <c>question: … context: …</c>, with one space between the
    /// parts. T5's own preparation of its training data also put spaces around punctuation; here question and context stand as they are in the file.</para>
    /// <para>A file of SQuAD v2.0 is refused at the first question with <c>is_impossible</c>, or where its <c>version</c> says so.</para>
    /// </remarks>
    /// <param name="catalog">The catalog.</param>
    /// <param name="path">The file, JSON in UTF-8.</param>
    /// <returns>The rows; see the remarks for their columns and what reading them can throw.</returns>
    /// <exception cref="ArgumentNullException">An argument is null.</exception>
    /// <exception cref="ArgumentException">The path is empty.</exception>
    /// <exception cref="FileNotFoundException">There is no such file.</exception>
    /// <exception cref="IOException">The path is a folder, or the file cannot be read.</exception>
    public static IDataView LoadFromSquadFile(this DataOperationsCatalog catalog, string path)
    {
        Check(catalog, path);
        return catalog.LoadFromEnumerable(SquadFile.Read(path).Select(question => new
        {
            question.Id,
            question.Text,
            question.Question,
            question.Context,
            question.Answers,
        }));
    }

    /// <summary>Loads a file of SamSum, such as <c>test.json</c>.</summary>
    /// <remarks>A row for every dialogue, in the file's order, with the text columns <c>Id</c>, <c>Dialogue</c>, as it stands, and <c>Summary</c>.</remarks>
    /// <inheritdoc cref="LoadFromSquadFile"/>
    public static IDataView LoadFromSamSumFile(this DataOperationsCatalog catalog, string path)
    {
        Check(catalog, path);
        return catalog.LoadFromEnumerable(SamSumFile.Read(path).Select(dialogue => new { dialogue.Id, dialogue.Dialogue, dialogue.Summary }));
    }

    /// <summary>Loads a file of the E2E NLG challenge, such as <c>devset.csv</c>.</summary>
    /// <remarks>
    /// A row for every distinct meaning representation, in the order of their first lines, with the text column <c>MeaningRepresentation</c>, as it stands, and
    /// <c>References</c>, a vector of all its references in the file's order. The whole file is read before the first row.
    /// </remarks>
    /// <param name="catalog">The catalog.</param>
    /// <param name="path">The file, CSV in UTF-8 with the columns <c>mr</c> and <c>ref</c>.</param>
    /// <inheritdoc cref="LoadFromSquadFile"/>
    public static IDataView LoadFromE2EFile(this DataOperationsCatalog catalog, string path)
    {
        Check(catalog, path);
        return catalog.LoadFromEnumerable(E2EFile.Read(path).Select(meaning => new { meaning.MeaningRepresentation, meaning.References }));
    }

    private static void Check(DataOperationsCatalog catalog, string path)
    {
        ArgumentNullException.ThrowIfNull(catalog);
        ArgumentException.ThrowIfNullOrEmpty(path);
        InputFile.Open(path).Dispose();
    }
}
