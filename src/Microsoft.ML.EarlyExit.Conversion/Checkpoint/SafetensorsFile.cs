using System.Buffers.Binary;

namespace Microsoft.ML.EarlyExit.Conversion.Checkpoint;

/// <summary>An open safetensors file, its header checked.</summary>
internal sealed class SafetensorsFile : IDisposable
{
    private const int LengthSize = sizeof(ulong);

    private readonly MappedFile file;

    private SafetensorsFile(MappedFile file, IReadOnlyList<CheckpointTensor> tensors)
    {
        this.file = file;
        Tensors = tensors;
    }

    /// <summary>The tensors, in the order of their data.</summary>
    public IReadOnlyList<CheckpointTensor> Tensors { get; }

    public static SafetensorsFile Open(string path)
    {
        MappedFile file = MappedFile.Open(path);
        try
        {
            int headerLength = ReadHeaderLength(file);
            long dataStart = LengthSize + headerLength;
            var tensors = new List<CheckpointTensor>();
            file.Read(LengthSize, headerLength, tensors, (json, list) =>
            {
                foreach (SafetensorsEntry entry in SafetensorsHeader.Parse(json, file.Length - dataStart, path))
                {
                    list.Add(new CheckpointTensor(entry.Name, entry.Shape, entry.DataType, entry.ElementCount, file, dataStart + entry.Begin));
                }
            });
            return new SafetensorsFile(file, tensors);
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    public void Dispose() => file.Dispose();

    private static int ReadHeaderLength(MappedFile file)
    {
        if (file.Length < LengthSize)
        {
            throw Damaged(file, "a safetensors header");
        }

        var bytes = new byte[LengthSize];
        file.Read(0, LengthSize, bytes, static (source, target) => source.CopyTo(target));
        ulong length = BinaryPrimitives.ReadUInt64LittleEndian(bytes);
        return length <= SafetensorsHeader.MaxLength && length <= (ulong)(file.Length - LengthSize)
            ? (int)length
            : throw Damaged(file, $"the safetensors header of {length} bytes it announces (at most {SafetensorsHeader.MaxLength} are allowed)");
    }

    private static InvalidModelException Damaged(MappedFile file, string what) => new(
        $"'{file.Path}' of {file.Length} bytes cannot hold {what}. It is cut short, or not a safetensors file (a Git LFS pointer, for instance); "
        + "fetch it again.");
}
