using Microsoft.ML.EarlyExit.Generation;
using Microsoft.ML.EarlyExit.Tool.Interaction;
using Microsoft.ML.EarlyExit.Tool.Rows;

namespace Microsoft.ML.EarlyExit.Tool.Commands;

/// <summary>Generates for rows side by side, all in one batch that rows enter as others end, and writes them in their order as soon as that is
/// possible.</summary>
internal sealed class GenerationRun : IDisposable
{
    /// <summary>Batches that rows held at a time fill: while a long row runs, so many rows behind it can be finished.</summary>
    private const int BatchesHeld = 8;

    /// <summary>Bytes of input lines that are held at a time, so that a large batch of long lines does not fill the memory.</summary>
    private const long LargestHeldBytes = 64 << 20;

    private readonly ToolContext _context;
    private readonly EarlyExitModel _model;
    private readonly TextGenerationOptions _options;
    private readonly TextWriter? _file;
    private readonly TextWriter _output;
    private readonly GenerationRowWriter _rows;
    private readonly GenerationBatch _batch;
    private readonly Queue<(GenerationRow Row, long Bytes)> _held = new();
    private readonly Dictionary<long, GenerationResult> _results = [];
    private readonly long? _totalBytes;
    private long _heldBytes;
    private long _finishedBytes;
    private long _added;

    /// <param name="context">Where results and messages go.</param>
    /// <param name="model">The model.</param>
    /// <param name="options">How to generate.</param>
    /// <param name="writesOperations">Whether every row states its floating-point operations.</param>
    /// <param name="file">The file that rows go to; null for the context's output.</param>
    /// <param name="outcome">How the rows went that an earlier run has written; gets the others.</param>
    /// <param name="finishedBytes">Bytes of those rows' lines.</param>
    /// <param name="totalBytes">Bytes of all rows' lines, for the progress bar; null where nobody knows.</param>
    public GenerationRun(
        ToolContext context, EarlyExitModel model, TextGenerationOptions options, bool writesOperations, TextWriter? file, RowOutcome outcome,
        long finishedBytes = 0, long? totalBytes = null)
    {
        Outcome = outcome;
        _added = outcome.Rows;
        _finishedBytes = finishedBytes;
        _totalBytes = totalBytes;
        _context = context;
        _model = model;
        _options = options;
        _file = file;
        _output = file ?? context.Output;
        _rows = new GenerationRowWriter(_output, writesOperations, writesAcceptance: options.Exit?.SelfSpeculation is not null);
        _batch = model.StartBatch(options, options.BatchSize, (row, result) => _results[row] = result, context.Cancellation);
    }

    /// <summary>How the rows went that were written.</summary>
    public RowOutcome Outcome { get; }

    /// <summary>Whether a row is being generated.</summary>
    public bool IsRunning => _batch.IsRunning;

    /// <summary>Takes the next row; it is generated when there is room.</summary>
    /// <param name="row">The row.</param>
    /// <param name="bytes">The size of its line.</param>
    public void Add(GenerationRow row, long bytes)
    {
        _context.Cancellation.ThrowIfCancellationRequested();
        while (_held.Count >= BatchesHeld * _options.BatchSize
            || (_heldBytes + bytes > LargestHeldBytes && _batch.IsRunning)
            || (row.Input is not null && !_batch.HasFreeSlot))
        {
            Step();
        }

        _held.Enqueue((row, bytes));
        _heldBytes += bytes;
        long number = _added++;
        if (row.Input is { } input)
            _batch.Start(input, number);
        else
            _results[number] = GenerationResult.Failed(row.Error!, hasText: _model.Tokenizer is not null);
        Write();
    }

    /// <summary>Generates what was added to its end.</summary>
    public void Complete()
    {
        while (_batch.IsRunning)
            Step();
    }

    public void Dispose() => _batch.Dispose();

    /// <summary>Generates one token for every running row, and writes those that can be.</summary>
    public void Step()
    {
        _batch.Step();
        Write();
    }

    /// <summary>Writes the rows before the first that is not finished.</summary>
    private void Write()
    {
        bool isWritten = false;
        for (; _held.TryPeek(out (GenerationRow Row, long Bytes) held) && _results.Remove(Outcome.Rows, out GenerationResult? result); _held.Dequeue())
        {
            // Rows on a terminal must not run into the progress bar.
            if (_file is null && !isWritten)
                _context.Messages.ClearProgress();
            isWritten = true;
            if (held.Row.Error is null)
                result = Located(held.Row, result);
            if (result.CutInputTokens > 0)
                _context.Messages.Say(held.Row.Locate($"the input was cut by {result.CutInputTokens} tokens to {_options.MaxInputTokens}."));
            _rows.Write(held.Row, result);
            _heldBytes -= held.Bytes;
            _finishedBytes += held.Bytes;
            Outcome.Add(result.Error);
        }

        if (!isWritten)
            return;
        _output.Flush();
        if (_totalBytes is { } total)
            _context.Messages.ShowProgress(_finishedBytes / Math.Max(1.0, total), CountRows(Outcome.Rows));
    }

    /// <summary>How many rows, in words.</summary>
    public static string CountRows(long count) => count == 1 ? "1 row" : $"{count} rows";

    private static GenerationResult Located(GenerationRow row, GenerationResult result) => result.Error is null ? result : new GenerationResult
    {
        Text = result.Text,
        TokenIds = result.TokenIds,
        ExitLayers = result.ExitLayers,
        Confidences = result.Confidences,
        StopReason = result.StopReason,
        Error = row.Locate(OptionNames.InFiles(result.Error)),
        CutInputTokens = result.CutInputTokens,
        Operations = result.Operations,
        DraftedTokens = result.DraftedTokens,
        AcceptedTokens = result.AcceptedTokens,
        Steps = result.Steps,
    };
}
