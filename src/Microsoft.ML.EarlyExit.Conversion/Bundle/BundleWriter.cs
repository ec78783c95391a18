using Google.Protobuf;
using Microsoft.ML.EarlyExit.Model.Bundle;
using Microsoft.ML.EarlyExit.Model.Weights;
using Microsoft.ML.EarlyExit.Onnx;

namespace Microsoft.ML.EarlyExit.Conversion.Bundle;

/// <summary>Collects the files of a bundle in a folder beside the target, and moves the folder into place when all are written.</summary>
internal sealed class BundleWriter : IDisposable
{
    public const string WeightsFileName = "weights.bin";

    private const int SmallAlignment = 64;
    // ONNX's advice for external data that is to be mapped.
    private const int LargeAlignment = 4096;
    private const int LargeBytes = 1 << 16;

    private readonly string _target;
    private readonly string _folder;
    private readonly List<BundleFile> _files = [];
    private readonly Dictionary<string, BundleTensor> _tensors = new(StringComparer.Ordinal);
    private HashingStream? _weights;

    public BundleWriter(string target)
    {
        _target = Path.TrimEndingDirectorySeparator(Path.GetFullPath(target));
        _folder = $"{_target}.{Guid.NewGuid():N}.partial";
        Directory.CreateDirectory(_folder);
        try
        {
            _weights = new HashingStream(new FileStream(Path.Combine(_folder, WeightsFileName), FileMode.CreateNew, FileAccess.Write, FileShare.None, 1 << 20));
        }
        catch
        {
            Directory.Delete(_folder, recursive: true);
            throw;
        }
    }

    /// <summary>The tensors written so far, by name.</summary>
    public IReadOnlyDictionary<string, BundleTensor> Tensors => _tensors;

    public IReadOnlyList<BundleFile> Files => _files;

    /// <summary>Appends a tensor; <paramref name="write"/> must write exactly its elements.</summary>
    public void AddTensor(string name, IReadOnlyList<int> shape, WeightPrecision type, Action<ElementWriter> write)
    {
        HashingStream weights = _weights ?? throw new InvalidOperationException("The weights are finished.");
        WeightFormat format = WeightFormat.Of(type);
        long bytes = format.ByteCount(BundleTensor.ElementsOf(shape));
        int alignment = bytes >= LargeBytes ? LargeAlignment : SmallAlignment;
        long offset = (weights.Position + alignment - 1) / alignment * alignment;
        weights.Write(new byte[offset - weights.Position]);
        write(new ElementWriter(weights, format));
        if (weights.Position != offset + bytes)
            throw new InvalidOperationException($"Tensor '{name}' has {bytes} bytes, but {weights.Position - offset} were written.");
        _tensors.Add(name, new BundleTensor(name, [.. shape], offset, type));
    }

    /// <summary>Ends the weights file; the graphs come after it.</summary>
    public void FinishWeights()
    {
        _weights!.Flush();
        _files.Add(new BundleFile(WeightsFileName, _weights.Position, _weights.Hash()));
        _weights.Dispose();
        _weights = null;
    }

    public string AddGraph(string fileName, ModelProto model) => AddFile(fileName, stream => model.WriteTo(stream));

    public string AddFile(string fileName, Action<Stream> write)
    {
        using var stream = new HashingStream(new FileStream(Path.Combine(_folder, fileName), FileMode.CreateNew, FileAccess.Write));
        write(stream);
        stream.Flush();
        _files.Add(new BundleFile(fileName, stream.Position, stream.Hash()));
        return fileName;
    }

    /// <summary>Writes the manifest and moves the folder to the target, which is replaced only where <paramref name="overwrite"/> says so.</summary>
    public void Complete(BundleManifest manifest, bool overwrite)
    {
        File.WriteAllBytes(Path.Combine(_folder, BundleManifest.FileName), manifest.ToJson());
        string? replaced = null;
        if (overwrite && Directory.Exists(_target))
        {
            replaced = $"{_target}.{Guid.NewGuid():N}.old";
            Directory.Move(_target, replaced);
        }

        try
        {
            Directory.Move(_folder, _target);
        }
        catch when (replaced is not null)
        {
            // Another conversion may have put its bundle there meanwhile; then that one stays.
            if (Directory.Exists(_target))
                Directory.Delete(replaced, recursive: true);
            else
                Directory.Move(replaced, _target);
            throw;
        }

        if (replaced is not null)
            Directory.Delete(replaced, recursive: true);
    }

    /// <summary>Leaves nothing behind where the bundle was not completed.</summary>
    public void Dispose()
    {
        try
        {
            _weights?.Dispose();
        }
        catch (IOException)
        {
            // A full disk refuses what is still buffered; the file goes all the same.
        }

        if (Directory.Exists(_folder))
            Directory.Delete(_folder, recursive: true);
    }
}
