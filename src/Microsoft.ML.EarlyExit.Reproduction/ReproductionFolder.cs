using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Microsoft.ML.EarlyExit.Evaluation.Json;
using Microsoft.ML.EarlyExit.Reproduction.Figures;
using Microsoft.ML.EarlyExit.Reproduction.Output;

namespace Microsoft.ML.EarlyExit.Reproduction;

/// <summary>
/// The output folder: settings, finished cells, tables, figures and the report. Every file appears in its place only when it is complete, so the folder can be
/// used while a run goes on and after one that was stopped. One run at a time writes to it.
/// </summary>
internal sealed class ReproductionFolder : IDisposable
{
    private const string SettingsName = "settings.json";
    private const string Advice = "Name another folder, or give --restart to begin again in this one.";
    private const string LockName = ".running";

    /// <summary>Bytes for figures, tables and the report, and for each row of each cell; generous.</summary>
    private const long FixedBytes = 32L << 20;
    private const long RowBytes = 1024;

    private readonly string _path;
    private readonly FileStream _lock;

    private ReproductionFolder(string path)
    {
        _path = path;
        Directory.CreateDirectory(path);
        try
        {
            _lock = new FileStream(
                Path.Combine(path, LockName), FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None, bufferSize: 1, FileOptions.DeleteOnClose);
        }
        catch (IOException exception) when (File.Exists(Path.Combine(path, LockName)))
        {
            throw new IOException($"The folder '{path}' is in use by another run; wait for its end, or name another folder.", exception);
        }
    }

    /// <summary>The folder's own name.</summary>
    public string Name => Path.GetFileName(Path.TrimEndingDirectorySeparator(Path.GetFullPath(_path)));

    public string Tables => Path.Combine(_path, "tables");

    public string Figures => Path.Combine(_path, "figures");

    private string Cells => Path.Combine(_path, "cells");

    private string SettingsPath => Path.Combine(_path, SettingsName);

    /// <summary>Opens the folder, or creates it.</summary>
    /// <exception cref="IOException">It is a file, holds something else, is in use, or cannot be written to.</exception>
    public static ReproductionFolder Open(string path)
    {
        if (File.Exists(path))
            throw new IOException($"The output '{path}' is a file; name a folder.");
        bool isForeign = Directory.Exists(path) && !File.Exists(Path.Combine(path, SettingsName))
            && Directory.EnumerateFileSystemEntries(path).Any(entry => Path.GetFileName(entry) != LockName);
        if (isForeign)
            throw new IOException($"The folder '{path}' holds something else than a run of reproduce; name a new or empty folder.");
        return new ReproductionFolder(path);
    }

    /// <summary>Fails where there is no room for a run of that size.</summary>
    public void CheckRoom(long cells, long rows)
    {
        string full = Path.GetFullPath(_path);
        string drive = OperatingSystem.IsWindows() ? Path.GetPathRoot(full)! : full;
        // Of a network share Windows tells nothing here.
        if (drive.StartsWith(@"\\", StringComparison.Ordinal))
            return;
        long needed = FixedBytes + (cells * rows * RowBytes);
        if (new DriveInfo(drive).AvailableFreeSpace is var free && free < needed)
        {
            throw new IOException(
                $"The disk of '{_path}' has {free >> 20} MB left; this run may need {needed >> 20} MB. Make room, or name a folder on another disk.");
        }
    }

    /// <summary>Takes up the settings of the folder's run, or gives them to a new one.</summary>
    /// <param name="settings">The settings.</param>
    /// <param name="restart">Whether what an earlier run left is deleted.</param>
    /// <returns>The fingerprint of the settings.</returns>
    /// <exception cref="InvalidDataException">The folder's run has other settings.</exception>
    public string Begin(ReproductionSettings settings, bool restart)
    {
        if (restart)
            Clear();
        JsonElement now = JsonSerializer.SerializeToElement(settings, ReproductionJsonContext.Readable.ReproductionSettings);
        if (File.Exists(SettingsPath))
        {
            JsonElement before;
            try
            {
                before = JsonElement.Parse(File.ReadAllBytes(SettingsPath));
            }
            catch (JsonException exception)
            {
                throw new InvalidDataException($"'{SettingsPath}' is not valid JSON: {JsonProblem.DescribeWithPlace(exception)}. {Advice}", exception);
            }

            if (SettingsComparison.Difference(before, now) is { } difference)
                throw new InvalidDataException($"The run in '{_path}' has other settings: {difference}. {Advice}");
        }

        foreach (string folder in (string[])[Cells, Tables, Figures])
            Directory.CreateDirectory(folder);
        WriteJson(SettingsPath, settings, ReproductionJsonContext.Readable.ReproductionSettings);
        return SettingsComparison.Fingerprint(now);
    }

    /// <summary>A finished cell.</summary>
    /// <param name="cell">Which.</param>
    /// <param name="fingerprint">The settings it must have been computed with.</param>
    /// <param name="rows">The rows it must have.</param>
    /// <param name="metrics">The metrics it must have.</param>
    /// <param name="damage">What is wrong with the cell's file; null where nothing is or there is none.</param>
    /// <returns>The cell; null where it has to be computed.</returns>
    public CellRecord? Read(PlannedCell cell, string fingerprint, int rows, int metrics, out string? damage)
    {
        damage = null;
        string path = CellPath(cell);
        if (!File.Exists(path))
            return null;
        try
        {
            CellRecord? record = JsonSerializer.Deserialize(File.ReadAllBytes(path), ReproductionJsonContext.Readable.CellRecord);
            damage = record switch
            {
                null => "it holds null",
                _ when (record.Model, record.Name) != (cell.Model, cell.Name) => $"it is the cell {record.Model} {record.Name}",
                _ when record.Fingerprint != fingerprint => "it was computed with other settings",
                _ when record.Rows.Count != rows => $"it has {record.Rows.Count} rows of {rows}",
                _ when record.Rows.Contains(null!) => "a row is null",
                _ when (cell.Kind == CellKind.Layers ? record.Layers is null : record.Generation?.Quality.Count != metrics) => "it lacks its results",
                _ when cell.Kind == CellKind.FullDepth && record.Rows.Any(row => row is { Error: null, TokenIds: null }) => "a row lacks its ids",
                _ => null,
            };
            return damage is null ? record : null;
        }
        catch (JsonException exception)
        {
            damage = JsonProblem.DescribeWithPlace(exception);
            return null;
        }
    }

    public void Write(PlannedCell cell, CellRecord record) => WriteJson(CellPath(cell), record, ReproductionJsonContext.Readable.CellRecord);

    /// <summary>Writes a text file below the folder.</summary>
    public void WriteText(string name, string text)
    {
        using PartialFile file = PartialFile.Create(Path.Combine(_path, name));
        file.Writer.Write(text);
        file.Complete();
    }

    public void Dispose() => _lock.Dispose();

    private static void WriteJson<T>(string path, T value, JsonTypeInfo<T> type)
    {
        using PartialFile file = PartialFile.Create(path);
        file.Writer.Write(JsonSerializer.Serialize(value, type));
        file.Writer.Write('\n');
        file.Complete();
    }

    private string CellPath(PlannedCell cell) => Path.Combine(Cells, $"{cell.Model}.{cell.Name}.json");

    /// <summary>Only what runs write: something else may lie beside it.</summary>
    private void Clear()
    {
        foreach ((string folder, string[] patterns) in ((string, string[])[])
            [
                (Cells, ["*.json", "*.partial"]), (Tables, ["*.md", "*.csv", "*.partial"]),
                (Figures, ["*.png", "*.svg", "*.csv", $"*{Figure.DescriptionExtension}", "*.partial"]),
                (_path, ["README.md", SettingsName, "*.partial"]),
            ])
        {
            if (!Directory.Exists(folder))
                continue;
            foreach (string file in patterns.SelectMany(pattern => Directory.EnumerateFiles(folder, pattern)).ToArray())
                File.Delete(file);
        }
    }
}
