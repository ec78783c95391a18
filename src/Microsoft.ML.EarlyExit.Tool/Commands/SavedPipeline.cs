using System.IO.Compression;
using System.Text;
using System.Text.Json;
using Microsoft.ML.EarlyExit.Calibration;
using Microsoft.ML.EarlyExit.Evaluation.Json;
using Microsoft.ML.EarlyExit.Exit;
using Microsoft.ML.EarlyExit.Tool.Output;

namespace Microsoft.ML.EarlyExit.Tool.Commands;

/// <summary>Saved pipelines, of which only the policy of their text generation is read: neither the model in them nor what else they hold.</summary>
internal static class SavedPipeline
{
    private const string KeyEntry = "Model.key";
    private const string TransformerEntry = "Transformer.json";
    private const string PolicyEntry = "Policy.json";
    private const string CertificateEntry = "Certificate.json";
    private const int LargestKey = 1 << 16;

    /// <summary>Reads the policy.</summary>
    /// <param name="stream">The file, which can be sought.</param>
    /// <param name="name">Its name, for messages.</param>
    /// <exception cref="InvalidDataException">The file is no saved pipeline, it has no text generation or several that differ, or it is damaged.</exception>
    public static PolicyFile ReadPolicy(Stream stream, string name)
    {
        if (!stream.CanSeek)
            throw new InvalidDataException($"{name} is a saved pipeline; name it as a file.");
        try
        {
            using var archive = new ZipArchive(stream, ZipArchiveMode.Read, leaveOpen: true);
            PolicyFile[] policies = [.. archive.Entries.Where(IsTextGeneration).Select(key => ReadPolicy(archive, Folder(key), name))];
            return policies.Length == 0
                ? throw new InvalidDataException($"{name} is a zip file, but no saved pipeline with a text generation.")
                : policies.All(policy => Text(policy) == Text(policies[0]))
                    ? policies[0]
                    : throw new InvalidDataException(
                        $"{name} has several text generations with different policies; save the policy that is meant to a file of its own.");
        }
        // Our own messages name the file already.
        catch (Exception exception) when (exception is JsonException or InvalidOperationException or KeyNotFoundException
            || (exception is InvalidDataException && !exception.Message.StartsWith(name, StringComparison.Ordinal)))
        {
            throw new InvalidDataException($"{name} is damaged: {ErrorSentence.Message(exception)}", exception);
        }

        static string Text(PolicyFile file) => file.Policy is null ? "" : ExitPolicyJson.Write(file.Policy);
    }

    private static PolicyFile ReadPolicy(ZipArchive archive, string folder, string name)
    {
        (string identity, bool hasPolicy) = Read(TransformerEntry, stream =>
        {
            using JsonDocument json = JsonDocument.Parse(ReadAtMost(stream, JsonFields.LargestSource));
            string? bundle = json.RootElement.GetProperty("bundle").GetString();
            return (
                bundle ?? throw new InvalidDataException($"{name} is damaged: {TransformerEntry} names no bundle."),
                json.RootElement.GetProperty("policy").GetBoolean());
        });
        if (Find(archive, folder, CertificateEntry) is not null)
        {
            return Read(CertificateEntry, stream => PolicyFile.Certified(CalibrationCertificateJson.Parse(stream, $"{name}, {CertificateEntry}"), name))
                with { ModelIdentity = identity };
        }

        return new PolicyFile(name, hasPolicy ? Read(PolicyEntry, stream => ExitPolicyJson.Parse(stream, $"{name}, {PolicyEntry}")) : null, identity);

        T Read<T>(string file, Func<Stream, T> read)
        {
            ZipArchiveEntry entry = Find(archive, folder, file) ?? throw new InvalidDataException($"{name} is damaged: it has no {folder}{file}.");
            using Stream stream = entry.Open();
            return read(stream);
        }
    }

    /// <summary>Whether an entry says that its folder holds a text generation, whose loader's name stands in it.</summary>
    private static bool IsTextGeneration(ZipArchiveEntry entry)
    {
        if (entry.Name != KeyEntry || entry.Length > LargestKey)
            return false;
        using Stream stream = entry.Open();
        return ReadAtMost(stream, LargestKey).AsSpan().IndexOf(Encoding.ASCII.GetBytes(TextGenerationTransformer.LoaderSignature)) >= 0;
    }

    private static byte[] ReadAtMost(Stream stream, int most)
    {
        using var bytes = new MemoryStream();
        byte[] buffer = new byte[1 << 14];
        for (int count; (count = stream.Read(buffer)) > 0;)
        {
            bytes.Write(buffer, 0, count);
            if (bytes.Length > most)
                throw new InvalidDataException($"an entry has more than {most} bytes.");
        }

        return bytes.ToArray();
    }

    private static ZipArchiveEntry? Find(ZipArchive archive, string folder, string file) =>
        archive.Entries.FirstOrDefault(entry => entry.Name == file && Folder(entry) == folder);

    private static string Folder(ZipArchiveEntry entry) => entry.FullName[..^entry.Name.Length];
}
