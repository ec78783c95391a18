using System.Text;
using System.Text.Json;
using Microsoft.ML.EarlyExit.Evaluation.Json;

namespace Microsoft.ML.EarlyExit.Calibration;

/// <summary>
/// The finished runs of a calibration in a file, a line of JSON each behind a first one that says what is calibrated, so that one that was interrupted goes on.
/// </summary>
/// <remarks>A line that was not written to its end is not there. Doubles and texts return as they were.</remarks>
internal sealed class CalibrationCheckpoint : IDisposable
{
    private const string Damaged = "the checkpoint is damaged, delete it";

    private readonly Dictionary<string, CandidateResult> _results = [];
    private readonly Dictionary<string, string[]> _texts = [];
    private readonly FileStream _file;
    private readonly string _path;

    /// <summary>Opens a file, and reads what an earlier calibration of the same things left in it.</summary>
    /// <param name="path">The file; its folder must exist.</param>
    /// <param name="identity">What is calibrated: everything that results depend on.</param>
    /// <exception cref="IOException">The file cannot be written, or another calibration is using it.</exception>
    /// <exception cref="InvalidDataException">It is of something else, or damaged; it stays as it is.</exception>
    public CalibrationCheckpoint(string path, string identity)
    {
        _path = path;
        if (Directory.Exists(path))
            throw new IOException($"The checkpoint '{path}' is a folder; name a file.");
        if (!Directory.Exists(Path.GetDirectoryName(Path.GetFullPath(path))))
            throw new DirectoryNotFoundException($"The folder of the checkpoint '{path}' does not exist; create it first.");
        _file = new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.Read);
        try
        {
            if (!_file.CanSeek)
                throw new IOException($"The checkpoint '{path}' is a pipe or a device; name a file.");
            Read(identity);
        }
        catch
        {
            _file.Dispose();
            throw;
        }
    }

    /// <summary>Finished runs.</summary>
    public int Count { get; private set; }

    /// <summary>The result of a run; null where it is not finished.</summary>
    public CandidateResult? Find(string run) => _results.GetValueOrDefault(run);

    /// <summary>The texts of a full-depth run; null where it is not finished.</summary>
    public string[]? FindTexts(string run) => _texts.GetValueOrDefault(run);

    /// <summary>Keeps a finished run.</summary>
    public void Add(string run, CandidateResult result) => AddRun(run, writer =>
    {
        writer.WriteStartArray("losses");
        foreach (double loss in result.Losses)
            writer.WriteNumberValue(loss);
        writer.WriteEndArray();
        if (!double.IsNaN(result.MeanExitLayer))
            writer.WriteNumber("meanExitLayer", result.MeanExitLayer);
        MeanOperationCounts operations = result.Operations;
        writer.WriteStartArray("operations");
        ReadOnlySpan<double> counts = [operations.Decoder, operations.StatePropagation, operations.Confidence, operations.Head, operations.Paper];
        foreach (double count in counts)
            writer.WriteNumberValue(count);
        writer.WriteEndArray();
    });

    /// <summary>Keeps the texts of a finished full-depth run.</summary>
    public void AddTexts(string run, IReadOnlyList<string> texts) => AddRun(run, writer =>
    {
        writer.WriteStartArray("texts");
        foreach (string text in texts)
            writer.WriteStringValue(text);
        writer.WriteEndArray();
    });

    /// <summary>Deletes the file: the calibration is complete.</summary>
    public void Delete()
    {
        _file.Dispose();
        File.Delete(_path);
    }

    public void Dispose() => _file.Dispose();

    private void Read(string identity)
    {
        ReadOnlySpan<byte> first = Line(writer => writer.WriteString("calibration", identity));
        if (_file.Length > Array.MaxLength)
            throw IsSomethingElse();
        byte[] content = new byte[_file.Length];
        _file.ReadExactly(content);
        int end = content.AsSpan().LastIndexOf((byte)'\n') + 1;
        if (end == 0 && !first.StartsWith(content))
            throw IsSomethingElse();
        if (JsonProblem.FindLineOfInvalidUtf8(content.AsSpan(0, end)) is { } invalid)
            throw new InvalidDataException($"{_path}, line {invalid}: it is not valid UTF-8; {Damaged}.");
        for (int start = 0; start < end;)
        {
            int length = content.AsSpan(start).IndexOf((byte)'\n');
            string line = Encoding.UTF8.GetString(content, start, length);
            if (start > 0)
            {
                JsonFields.Parse(line, _path, ReadRun);
            }
            else if (JsonFields.Parse(line, _path, fields => fields.GetString("calibration")) != identity)
            {
                throw new InvalidDataException(
                    $"The checkpoint '{_path}' is of another calibration: another model, other prompts, policies or options. "
                    + "Name another file, or delete this one.");
            }

            start += length + 1;
        }

        // What comes behind the last whole line is written again.
        _file.SetLength(end);
        _file.Position = end;
        if (end == 0)
            Append(first);
    }

    private InvalidDataException IsSomethingElse() => new($"'{_path}' is no checkpoint but a file of something else. Name another file.");

    private bool ReadRun(JsonFields fields)
    {
        string run = fields.GetString("run");
        Count++;
        if (fields.Has("texts"))
        {
            _texts[run] = fields.GetStrings("texts");
            return true;
        }

        double[] losses = fields.GetDoubles("losses");
        if (!losses.All(loss => loss is >= 0 and <= 1))
            throw fields.Refuse("losses", $"each must be from 0 to 1; {Damaged}");
        double[] operations = fields.GetDoubles("operations");
        if (operations.Length != 5)
            throw fields.Refuse("operations", "it must have five numbers");
        _results[run] = new CandidateResult(
            losses,
            fields.Has("meanExitLayer") ? fields.GetDouble("meanExitLayer") : double.NaN,
            new MeanOperationCounts(operations[0], operations[1], operations[2], operations[3], operations[4]));
        return true;
    }

    private void AddRun(string run, Action<Utf8JsonWriter> write)
    {
        Append(Line(writer =>
        {
            writer.WriteString("run", run);
            write(writer);
        }));
        Count++;
    }

    private void Append(ReadOnlySpan<byte> line)
    {
        _file.Write(line);
        _file.Flush(flushToDisk: true);
    }

    private static ReadOnlySpan<byte> Line(Action<Utf8JsonWriter> write)
    {
        using var line = new MemoryStream();
        using (var writer = new Utf8JsonWriter(line))
        {
            writer.WriteStartObject();
            write(writer);
            writer.WriteEndObject();
        }

        line.WriteByte((byte)'\n');
        return line.GetBuffer().AsSpan(0, (int)line.Length);
    }
}
