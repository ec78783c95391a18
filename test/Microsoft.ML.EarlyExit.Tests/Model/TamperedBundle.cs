using System.Globalization;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text.Json;
using System.Text.Json.Nodes;
using Google.Protobuf;
using Microsoft.ML.EarlyExit.Conversion;
using Microsoft.ML.EarlyExit.Files;
using Microsoft.ML.EarlyExit.Model.Bundle;
using Microsoft.ML.EarlyExit.Onnx;

namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>A copy of a small sound bundle (5 decoder layers, 300 tokens, a head of its own), for one test to damage.</summary>
internal sealed class TamperedBundle : IDisposable
{
    private static readonly JsonSerializerOptions s_indented = new() { WriteIndented = true };
    private static readonly Lazy<TemporaryFolder> s_sound = new(Convert);

    private readonly TemporaryFolder _parent = new(Path.GetTempPath());

    public TamperedBundle(bool withTokenizer = false)
    {
        Folder = Path.Combine(_parent.Path, "bundle");
        Directory.CreateDirectory(Folder);
        foreach (string path in Directory.GetFiles(Path.Combine(s_sound.Value.Path, withTokenizer ? "with-tokenizer" : "without-tokenizer")))
            System.IO.File.Copy(path, File(Path.GetFileName(path)));
    }

    public string Folder { get; }

    public string ManifestPath => File(BundleManifest.FileName);

    public string File(string name) => Path.Combine(Folder, name);

    /// <summary>Changes the manifest; with <paramref name="rehash"/> it then lists the files as they are.</summary>
    public void EditManifest(Action<JsonNode> edit, bool rehash = false)
    {
        JsonNode manifest = JsonNode.Parse(System.IO.File.ReadAllBytes(ManifestPath))!;
        edit(manifest);
        if (rehash)
        {
            foreach (JsonNode? file in manifest["files"]!.AsArray())
            {
                byte[] bytes = System.IO.File.ReadAllBytes(File((string)file!["name"]!));
                file["bytes"] = bytes.Length;
                file["sha256"] = System.Convert.ToHexStringLower(SHA256.HashData(bytes));
            }
        }

        System.IO.File.WriteAllText(ManifestPath, manifest.ToJsonString(s_indented));
    }

    /// <summary>Changes a file as someone would who can also change the manifest.</summary>
    public void EditFile(string name, Func<byte[], byte[]> edit)
    {
        System.IO.File.WriteAllBytes(File(name), edit(System.IO.File.ReadAllBytes(File(name))));
        EditManifest(_ => { }, rehash: true);
    }

    public void EditGraph(string name, Action<ModelProto> edit) => EditFile(name, bytes =>
    {
        ModelProto model = ModelProto.Parser.ParseFrom(bytes);
        edit(model);
        return model.ToByteArray();
    });

    /// <summary>Sets elements of a tensor.</summary>
    public void EditTensor(string name, int first, int count, float value)
    {
        JsonNode tensor = JsonNode.Parse(System.IO.File.ReadAllBytes(ManifestPath))!["tensors"]!.AsArray().Single(entry => (string)entry!["name"]! == name)!;
        EditFile("weights.bin", bytes =>
        {
            MemoryMarshal.Cast<byte, float>(bytes.AsSpan(int.Parse(tensor["offset"]!.ToJsonString(), CultureInfo.InvariantCulture)..))
                .Slice(first, count).Fill(value);
            return bytes;
        });
    }

    public void Dispose() => _parent.Dispose();

    private static TemporaryFolder Convert()
    {
        var folder = new TemporaryFolder(Path.GetTempPath());
        string source = TestModels.Checkpoint("tiny-v11");
        T5Converter.Convert(source, Path.Combine(folder.Path, "without-tokenizer"));
        string withTokenizer = Path.Combine(folder.Path, "source");
        Directory.CreateDirectory(withTokenizer);
        foreach (string path in Directory.GetFiles(source))
            System.IO.File.Copy(path, Path.Combine(withTokenizer, Path.GetFileName(path)));
        System.IO.File.Copy(Path.Combine(TestModels.Checkpoint(TestModels.Demo), "spiece.model"), Path.Combine(withTokenizer, "spiece.model"));
        T5Converter.Convert(withTokenizer, Path.Combine(folder.Path, "with-tokenizer"));
        return folder;
    }
}
