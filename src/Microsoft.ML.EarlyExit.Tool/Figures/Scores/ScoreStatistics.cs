using Microsoft.ML.EarlyExit.Evaluation.Files;
using Microsoft.ML.EarlyExit.Tool.Interaction;

namespace Microsoft.ML.EarlyExit.Tool.Figures.Scores;

/// <summary>What a file of <c>score</c> says of every layer.</summary>
internal sealed class ScoreStatistics
{
    private List<LayerStatistics>? _layers;

    /// <summary>The statistics of layers 1 to L; none before the first row.</summary>
    public IReadOnlyList<LayerStatistics> Layers => _layers ?? [];

    /// <summary>Rows that are errors and say nothing of layers.</summary>
    public long ErrorRows { get; private set; }

    /// <summary>Reads a file, one row in memory at a time.</summary>
    /// <param name="path">The file.</param>
    /// <param name="context">Shows how far it is, and ends it.</param>
    /// <exception cref="InvalidDataException">A line is no row of <c>score</c>, rows differ in their layers, or there is no row; the message says
    /// where.</exception>
    public static ScoreStatistics Read(string path, ToolContext context)
    {
        using Stream stream = PathSymbols.Open(path, context);
        path = PathSymbols.Name(path);
        long length = stream.CanSeek ? stream.Length : 0;
        var lines = new LineReader(stream);
        var statistics = new ScoreStatistics();
        for (long count = 0; lines.TryRead(out byte[]? line); count++)
        {
            context.Cancellation.ThrowIfCancellationRequested();
            if (line is null)
                throw new InvalidDataException($"{path}, line {lines.Number}: the line has more than {LineReader.LongestLine} bytes.");
            if (line.AsSpan().IndexOfAnyExcept(" \t\r"u8) < 0)
                continue;
            statistics.Add(ScoreRow.Read(line, path, lines.Number), path, lines.Number);
            if (length > 0 && count % 64 == 0)
                context.Messages.ShowProgress((double)lines.Position / length, Path.GetFileName(path));
        }

        context.Messages.ClearProgress();
        return statistics.Layers.Count > 0
            ? statistics
            : throw new InvalidDataException(statistics.ErrorRows > 0 ? $"{path}: all rows are errors." : $"{path} has no rows.");
    }

    private void Add(ScoreRow row, string path, long number)
    {
        if (row.Layers is not { } layers)
        {
            ErrorRows++;
            return;
        }

        _layers ??= [.. layers.Select(_ => new LayerStatistics())];
        if (layers.Count != _layers.Count)
        {
            throw new InvalidDataException(
                $"{path}, line {number}: the row has {layers.Count} layers and those before it {_layers.Count}; all must be of one model.");
        }

        IReadOnlyList<int> last = layers[^1].ArgMax;
        for (int layer = 0; layer < layers.Count; layer++)
        {
            for (int token = 0; token < last.Count; token++)
                _layers[layer].Add(layers[layer].Ranks[token], layers[layer].Confidences[token], layers[layer].ArgMax[token] == last[token]);
        }
    }
}
