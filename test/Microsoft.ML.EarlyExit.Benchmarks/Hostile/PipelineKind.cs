using System.Buffers.Binary;
using System.IO.Compression;
using System.Runtime.ExceptionServices;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Microsoft.ML.Data;

namespace Microsoft.ML.EarlyExit.Benchmarks;

/// <summary>Saved pipelines: loaded by ML.NET, and rows transformed.</summary>
internal sealed class PipelineKind(HostileSeeds seeds) : HostileKind("pipeline", 15)
{
    private const string BundleMark = "Bundle";
    private const string FileName = "model.zip";

    private static readonly string[] s_ownFiles = ["Transformer.json", "Options.json", "Policy.json"];

    public override string Write(HostileRandom random, string folder)
    {
        (byte[] zip, string changes) = Mutate(random.Pick(seeds.Pipelines), random);
        string holder = Directory.CreateDirectory(Path.Combine(folder, "pipeline")).FullName;
        File.WriteAllBytes(Path.Combine(holder, FileName), zip);
        return changes;
    }

    /// <summary>Changes the zip of a sound pipeline.</summary>
    public static (byte[] Zip, string Changes) Mutate(byte[] sound, HostileRandom random)
    {
        List<(string Name, byte[] Bytes)> entries = Read(sound);
        var changes = new List<string>();
        for (int count = 1 + random.Next(random.Chance(50) ? 1 : 4); count > 0 && entries.Count > 0; count--)
            changes.Add(Change(entries, random));
        byte[] zip = Write(entries);
        if (random.Chance(12))
        {
            changes.Add("bytes of the zip");
            zip = random.Chance(50) ? ChangeDirectory(zip, random) : ByteMutator.Mutate(zip, random);
        }

        return (zip, string.Join(", ", changes));
    }

    public override string? Receive(HostileRandom random, string folder)
    {
        var context = new MLContext(seed: 1);
        string path = Path.Combine(folder, "pipeline", FileName);
        ITransformer model = Try(() => context.Model.Load(path, out _), exception => exception.GetBaseException());
        try
        {
            IDataView data = context.Data.LoadFromEnumerable(PipelineRow.Sound);
            Try(() => model.Transform(data).Preview(PipelineRow.Sound.Count), exception => exception);
            return null;
        }
        catch (InvalidOperationException exception) when (exception.Message.StartsWith("Row ", StringComparison.Ordinal))
        {
            return exception.Message;
        }
        finally
        {
            (model as IDisposable)?.Dispose();
        }
    }

    /// <summary>Makes a call through ML.NET; what ML.NET itself throws before the library is asked is its own.</summary>
    /// <param name="call">The call.</param>
    /// <param name="cause">Finds the exception that users are told to look at.</param>
    private static T Try<T>(Func<T> call, Func<Exception, Exception> cause)
    {
        try
        {
            return call();
        }
        catch (Exception exception)
        {
            Exception shown = cause(exception);
            bool isDocumented = shown is InvalidModelException or InvalidDataException or DirectoryNotFoundException
                || (shown is ArgumentOutOfRangeException && shown.Message.Contains("column", StringComparison.OrdinalIgnoreCase));
            if (isDocumented || StackTraces.Place(shown.StackTrace).Length == 0)
                throw new RefusalException(shown);
            ExceptionDispatchInfo.Throw(shown);
            throw;
        }
    }

    private static string Change(List<(string Name, byte[] Bytes)> entries, HostileRandom random)
    {
        int at = random.Next(entries.Count);
        (string name, byte[] bytes) = entries[at];
        switch (random.Next(100))
        {
            case < 28:
                int[] own = [.. Enumerable.Range(0, entries.Count).Where(index =>
                    s_ownFiles.Any(file => entries[index].Name.EndsWith(file, StringComparison.Ordinal)))];
                if (own.Length == 0)
                    goto default;
                at = random.Pick(own);
                entries[at] = (entries[at].Name, JsonMutator.Mutate(entries[at].Bytes, random));
                return entries[at].Name;
            case < 60:
                return ChangeBundle(entries, random);
            case < 66:
                entries.RemoveAt(at);
                return $"{name} dropped";
            case < 71:
                entries.Insert(at, (name, random.Chance(50) ? bytes : ByteMutator.Mutate(bytes, random)));
                return $"{name} twice";
            case < 77:
                string renamed = random.Pick(
                [
                    "../evil", "/tmp/evil", "..\\..\\evil", "C:\\evil", "", name.ToUpperInvariant(), name + "/", name.Replace('/', '\\'),
                    new string('n', 5000), name + "\0",
                ]);
                entries[at] = (renamed, bytes);
                return $"{name} renamed to {(renamed.Length > 40 ? "a long name" : renamed)}";
            case < 82:
                int more = random.Pick([1, 1 << 16, 1 << 24, 1 << 26]);
                Array.Resize(ref bytes, bytes.Length + more);
                entries[at] = (name, bytes);
                return $"{name} longer by {more}";
            case < 86:
                entries[at] = (name, bytes[..random.Next(bytes.Length)]);
                return $"{name} cut";
            default:
                entries[at] = (name, ByteMutator.Mutate(bytes, random));
                return $"bytes of {name}";
        }
    }

    /// <summary>Changes the bundle in the zip, with right hashes in its manifest, and right lengths and the right identity in who refers to it.</summary>
    private static string ChangeBundle(List<(string Name, byte[] Bytes)> entries, HostileRandom random)
    {
        int mark = entries.FindIndex(entry => entry.Name.Contains(BundleMark, StringComparison.Ordinal));
        string prefix = mark < 0 ? "" : entries[mark].Name[..(entries[mark].Name.IndexOf(BundleMark, StringComparison.Ordinal) + BundleMark.Length + 1)];
        var files = new Dictionary<string, byte[]>(StringComparer.Ordinal);
        foreach ((string name, byte[] bytes) in entries)
        {
            if (mark >= 0 && name.StartsWith(prefix, StringComparison.Ordinal))
                files[name[prefix.Length..]] = bytes;
        }

        string changes;
        try
        {
            changes = BundleMutator.Mutate(files, random);
        }
        catch (Exception exception)
            when (exception is KeyNotFoundException or JsonException or InvalidOperationException or NullReferenceException or ArgumentException)
        {
            return "nothing, since earlier changes left no bundle";
        }

        string identity = Convert.ToHexStringLower(SHA256.HashData(files["model.json"]));
        for (int index = 0; index < entries.Count; index++)
        {
            (string name, byte[] bytes) = entries[index];
            if (name.StartsWith(prefix, StringComparison.Ordinal) && files.TryGetValue(name[prefix.Length..], out byte[]? changed))
                entries[index] = (name, changed);
            else if (name.EndsWith(s_ownFiles[0], StringComparison.Ordinal))
                entries[index] = (name, Refer(bytes, identity, files));
        }

        return $"{changes} of the bundle";
    }

    private static byte[] Refer(byte[] transformer, string identity, Dictionary<string, byte[]> files)
    {
        try
        {
            JsonNode node = JsonNode.Parse(transformer)!;
            node["bundle"] = identity;
            foreach (JsonNode? file in node["files"]!.AsArray())
                file!["length"] = files[file["name"]!.GetValue<string>()].Length;
            return Encoding.UTF8.GetBytes(node.ToJsonString());
        }
        catch (Exception exception)
            when (exception is KeyNotFoundException or JsonException or InvalidOperationException or NullReferenceException or ArgumentException)
        {
            return transformer;
        }
    }

    /// <summary>Lies in the zip's directory: sizes, offsets, methods, flags.</summary>
    private static byte[] ChangeDirectory(byte[] zip, HostileRandom random)
    {
        byte[] changed = [.. zip];
        var records = new List<int>();
        for (int at = 0; at < zip.Length - 46; at++)
        {
            if (zip.AsSpan(at).StartsWith("PK\x01\x02"u8) || zip.AsSpan(at).StartsWith("PK\x03\x04"u8))
                records.Add(at);
        }

        if (records.Count > 0)
            BinaryPrimitives.WriteInt32LittleEndian(
                changed.AsSpan(random.Pick(records) + random.Pick([6, 8, 10, 14, 18, 20, 22, 24, 28, 30, 42])), (int)random.Number());
        return changed;
    }

    private static List<(string Name, byte[] Bytes)> Read(byte[] zip)
    {
        using var archive = new ZipArchive(new MemoryStream(zip));
        var entries = new List<(string Name, byte[] Bytes)>();
        foreach (ZipArchiveEntry entry in archive.Entries)
        {
            using Stream stream = entry.Open();
            var bytes = new MemoryStream();
            stream.CopyTo(bytes);
            entries.Add((entry.FullName, bytes.ToArray()));
        }

        return entries;
    }

    private static byte[] Write(List<(string Name, byte[] Bytes)> entries)
    {
        var zip = new MemoryStream();
        using (var archive = new ZipArchive(zip, ZipArchiveMode.Create, leaveOpen: true))
        {
            foreach ((string name, byte[] bytes) in entries)
            {
                using Stream stream = archive.CreateEntry(name.Length == 0 ? " " : name, CompressionLevel.Fastest).Open();
                stream.Write(bytes);
            }
        }

        return zip.ToArray();
    }
}
