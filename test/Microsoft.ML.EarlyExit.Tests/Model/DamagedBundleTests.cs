using System.Text;
using System.Text.Json.Nodes;
using Microsoft.ML.EarlyExit.Files;
using Microsoft.ML.EarlyExit.Model;
using Microsoft.ML.EarlyExit.Model.Bundle;

namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>Folders that are no sound bundle are refused on opening, by messages that name what is wrong.</summary>
public sealed class DamagedBundleTests
{
    private const string OfConfiguration = "configuration.";

    private static readonly Dictionary<string, (Action<JsonNode> Apply, string Message)> s_manifests = new()
    {
        ["other format"] = (root => root["format"] = "Other", "'Microsoft.ML.EarlyExit.Bundle'"),
        ["format a number"] = (root => root["format"] = 1, "'Microsoft.ML.EarlyExit.Bundle'"),
        ["no format"] = (root => root.AsObject().Remove("format"), "'Microsoft.ML.EarlyExit.Bundle'"),
        ["newer"] = (root => root["formatVersion"] = 3, "Update"),
        ["far newer"] = (root => { root["formatVersion"] = int.MaxValue; root.AsObject().Remove("files"); }, "Update"),
        ["older"] = (root => root["formatVersion"] = 0, "version 0"),
        ["version a text"] = (root => root["formatVersion"] = "2", "formatVersion is \"2\"; it must be a whole number"),
        ["version a fraction"] = (root => root["formatVersion"] = 1.5, "formatVersion is 1.5; it must be a whole number"),
        ["version absurd"] = (root => root["formatVersion"] = 1e300, "formatVersion is 1E+300; it must be a whole number"),
        ["version null"] = (root => root["formatVersion"] = null, "formatVersion is null; it must be a whole number"),
        ["no version"] = (root => root.AsObject().Remove("formatVersion"), "formatVersion is missing"),
        ["other precision"] = (root => root["precision"] = "int3", "'int3'"),
        ["no graph head"] = (root => root["graphHeadDimension"] = 0, "graphHeadDimension"),
        ["other graph head"] = (root => root["graphHeadDimension"] = 24, "graphHeadDimension"),
        ["activation unknown"] = (root => root["configuration"]!["activation"] = "Tanh", "activation"),
        ["activation a number"] = (root => root["configuration"]!["activation"] = 99, "activation"),
        ["epsilon 0"] = (root => root["configuration"]!["layerNormEpsilon"] = 0, "layerNormEpsilon"),
        ["epsilon infinite"] = (root => root["configuration"]!["layerNormEpsilon"] = 1e300, "layerNormEpsilon"),
        ["end outside"] = (root => root["configuration"]!["endOfSequenceTokenId"] = 300, "endOfSequenceTokenId"),
        ["pad negative"] = (root => root["configuration"]!["padTokenId"] = -1, "padTokenId"),
        ["start outside"] = (root => root["configuration"]!["decoderStartTokenId"] = int.MaxValue, "decoderStartTokenId"),
        ["limit 0"] = (root => root["configuration"]!["maxNewTokens"] = 0, "maxNewTokens"),
        ["minimum negative"] = (root => root["configuration"]!["minNewTokens"] = -1, "minNewTokens"),
        ["minimum absurd"] = (root => root["configuration"]!["minNewTokens"] = 1 << 21, "minNewTokens"),
        ["penalty 0"] = (root => root["configuration"]!["repetitionPenalty"] = 0, "repetitionPenalty"),
        ["penalty infinite"] = (root => root["configuration"]!["repetitionPenalty"] = 1e300, "repetitionPenalty"),
        ["n-grams absurd"] = (root => root["configuration"]!["noRepeatNgramSize"] = int.MaxValue, "noRepeatNgramSize"),
        ["sentinels negative"] = (root => root["tokenizer"] = Tokenizer(-1), "sentinelCount"),
        ["sentinels absurd"] = (root => root["tokenizer"] = Tokenizer(int.MaxValue), "sentinelCount"),
        ["null added token"] = (root => root["tokenizer"] = Tokenizer(100, (JsonNode?)null), "addedTokens"),
        ["added token outside"] = (root => root["tokenizer"] = Tokenizer(100, Token(300, "a")), "the id 300"),
        ["added token far outside"] = (root => root["tokenizer"] = Tokenizer(100, Token(int.MaxValue, "a")), "the id 2147483647"),
        ["added token negative"] = (root => root["tokenizer"] = Tokenizer(100, Token(-1, "a")), "the id -1"),
        ["added id twice"] = (root => root["tokenizer"] = Tokenizer(100, Token(1, "a"), Token(1, "b")), "the id 1"),
        ["added text twice"] = (root => root["tokenizer"] = Tokenizer(100, Token(1, "a"), Token(2, "a")), "id 2"),
        ["added text empty"] = (root => root["tokenizer"] = Tokenizer(100, Token(1, "")), "id 1"),
        ["added text long"] = (root => root["tokenizer"] = Tokenizer(100, Token(1, new string('a', 5000))), "id 1"),
        ["added text null"] = (root => root["tokenizer"] = Tokenizer(100, Token(1, null)), "content"),
        ["added without flags"] = (root => root["tokenizer"] = Tokenizer(100, new JsonObject { ["id"] = 1, ["content"] = "a" }), "isSpecial"),
        ["limit absurd"] = (root => root["configuration"]!["maxNewTokens"] = int.MaxValue, "maxNewTokens"),
        ["too few blocks"] = (root => root["graphs"]!["decoderBlocks"]!.AsArray().RemoveAt(0), "decoderBlocks"),
        ["too many blocks"] = (root => root["graphs"]!["decoderBlocks"]!.AsArray().Add("encoder.onnx"), "decoderBlocks"),
        ["no state graphs"] = (root => root["graphs"]!["stateKeysValues"] = new JsonArray(), "stateKeysValues"),
        ["too few cross graphs"] = (root => root["graphs"]!["crossKeysValues"]!.AsArray().RemoveAt(4), "crossKeysValues"),
        ["more layers than graphs"] = (root => root["configuration"]!["decoderLayerCount"] = 6, "decoderBlocks"),
        ["null block"] = (root => root["graphs"]!["decoderBlocks"]![2] = null, "decoderBlocks"),
        ["null state graph"] = (root => root["graphs"]!["stateKeysValues"]![0] = null, "stateKeysValues"),
        ["null cross graph"] = (root => root["graphs"]!["crossKeysValues"]![4] = null, "crossKeysValues"),
        ["null file"] = (root => root["files"]!.AsArray().Add(null), "files"),
        ["null tensor"] = (root => root["tensors"]!.AsArray().Insert(0, null), "tensors"),
        ["null dimension"] = (root => root["tensors"]![0]!["shape"]![0] = null, "shape"),
        ["null name"] = (root => root["tensors"]![0]!["name"] = null, "name"),
        ["unlisted graph"] = (root => root["graphs"]!["encoder"] = "elsewhere.onnx", "'elsewhere.onnx'"),
        ["graph outside"] = (root => root["graphs"]!["decoderBlocks"]![0] = "../bundle/encoder.onnx", "'../bundle/encoder.onnx'"),
        ["the manifest a graph"] = (root => root["graphs"]!["encoder"] = "model.json", "'model.json'"),
        ["unlisted weights"] = (root => root["weightsFile"] = "/etc/passwd", "'/etc/passwd'"),
        ["unlisted tokenizer"] = (root => root["tokenizerFile"] = "spiece.model", "'spiece.model'"),
        ["graph a folder"] = (root => root["graphs"]!["encoder"] = "", "''"),
        ["file twice"] = (root => root["files"]!.AsArray().Add(root["files"]![0]!.DeepClone()), "'weights.bin' is listed twice"),
        ["the manifest a file"] = (root => root["files"]![0]!["name"] = "model.json", "'model.json'"),
        ["negative size"] = (root => root["files"]![0]!["bytes"] = -1, "'weights.bin'"),
        ["size 0"] = (root => root["files"]![0]!["bytes"] = 0, "'weights.bin'"),
        ["other size"] = (root => root["files"]![0]!["bytes"] = (long)root["files"]![0]!["bytes"]! + 4, "'weights.bin'"),
        ["absurd size"] = (root => root["files"]![0]!["bytes"] = long.MaxValue, "'weights.bin'"),
        ["size beyond any model's"] = (root => root["files"]![3]!["bytes"] = 1L << 60, "is listed with 1152921504606846976 bytes"),
        ["size beyond 64 bits"] = (root => root["files"]![0]!["bytes"] = 1e30, "bytes"),
        ["other hash"] = (root => root["files"]![3]!["sha256"] = new string('0', 64), "SHA-256"),
        ["no hash"] = (root => root["files"]![3]!["sha256"] = "", "SHA-256"),
        ["tensor twice"] = (root => root["tensors"]!.AsArray().Add(root["tensors"]![2]!.DeepClone()), "is listed twice"),
        ["no tensors"] = (root => root["tensors"] = new JsonArray(), "tensor 'embedding' is missing"),
        ["offset negative"] = (root => root["tensors"]![1]!["offset"] = -4, "offset -4"),
        ["offset odd"] = (root => root["tensors"]![1]!["offset"] = 2, "offset 2"),
        ["offset at the end"] = (root => root["tensors"]![1]!["offset"] = root["files"]![0]!["bytes"]!.DeepClone(), "'head'"),
        ["offset absurd"] = (root => root["tensors"]![1]!["offset"] = long.MaxValue - 3, "'head'"),
        ["offset beyond 64 bits"] = (root => root["tensors"]![1]!["offset"] = 1e30, "offset"),
        ["dimension 0"] = (root => root["tensors"]![4]!["shape"]![0] = 0, "shape [0"),
        ["dimension negative"] = (root => root["tensors"]![4]!["shape"]![0] = -3, "shape [-3"),
        ["no dimensions"] = (root => root["tensors"]![4]!["shape"] = new JsonArray(), "shape []"),
        ["three dimensions"] = (root => root["tensors"]![4]!["shape"] = new JsonArray(1, 1, 1), "shape [1, 1, 1]"),
        ["too large"] = (root => root["tensors"]![4]!["shape"] = new JsonArray(1 << 20, 1 << 10), "offset"),
        // 4 times the product of these is negative in 64 bits.
        ["overflowing"] = (root => root["tensors"]![4]!["shape"] = new JsonArray(int.MaxValue, int.MaxValue), "offset"),
        ["overflowing to 0"] = (root => root["tensors"]![4]!["shape"] = new JsonArray(1 << 30, 1 << 30), "offset"),
        ["embedding missing"] = (root => root["tensorNames"]!["embedding"] = "none", "'none'"),
        ["head of another shape"] = (root => root["tensorNames"]!["head"] = "decoder.final_norm", "'decoder.final_norm'"),
        ["norm of another shape"] = (root => root["tensorNames"]!["decoderFinalNorm"] = "embedding", "'embedding'"),
        ["bias of another shape"] = (root => root["tensorNames"]!["decoderRelativeBias"] = "embedding", "'embedding'"),
        ["other vocabulary"] = (root => root["configuration"]!["vocabularySize"] = 301, "'embedding'"),
        ["other width"] = (root => root["configuration"]!["modelDimension"] = 47, "'embedding'"),
        ["other heads"] = (root => root["configuration"]!["headCount"] = 3, "'decoder.relative_bias'"),
    };

    private static readonly string[] s_sizes =
    [
        "vocabularySize", "modelDimension", "keyValueDimension", "headCount", "feedForwardDimension", "encoderLayerCount", "decoderLayerCount",
        "relativeAttentionBucketCount", "relativeAttentionMaxDistance",
    ];

    private static readonly string[] s_fields =
    [
        "createdBy", "precision", "configuration", "graphHeadDimension", "graphs", "tensorNames", "weightsFile", "tensors", "tokenizerFile", "files",
        "configuration/vocabularySize", "configuration/activation", "configuration/gatedFeedForward", "configuration/layerNormEpsilon",
        "configuration/scaleDecoderOutputs", "configuration/endOfSequenceTokenId", "graphs/encoder", "graphs/decoderBlocks", "graphs/stateKeysValues",
        "graphs/crossKeysValues", "graphs/teacherForcedDecoder", "tensorNames/embedding", "tensorNames/head", "tensorNames/decoderFinalNorm",
        "tensorNames/decoderRelativeBias", "tensors/0/name", "tensors/0/shape", "tensors/0/offset", "files/0/name", "files/0/bytes", "files/0/sha256",
    ];

    private static readonly string[] s_kinds =
    [
        "weights.bin", "encoder.onnx", "decoder-block-01.onnx", "decoder-state-keys-values-03.onnx", "decoder-cross-keys-values-05.onnx",
        "decoder-teacher-forced.onnx", "spiece.model", "model.json",
    ];

    private static JsonObject Tokenizer(int sentinels, params JsonNode?[] added) => new()
    {
        ["sentinelCount"] = sentinels, ["addedTokens"] = new JsonArray(added),
    };

    private static JsonObject Token(int id, string? content) => new()
    {
        ["id"] = id, ["content"] = content, ["isSpecial"] = false, ["stripsLeft"] = false, ["stripsRight"] = false, ["isSingleWord"] = false,
    };

    public static TheoryData<string> Manifests => [.. s_manifests.Keys];

    public static TheoryData<string> Kinds => [.. s_kinds];

    public static TheoryData<string, string> Sizes =>
    [
        .. from name in s_sizes
           from value in (string[])["0", "-1", "2147483647", "2147483648", "1e9", "\"4\"", "null", "1.5"]
           select new TheoryDataRow<string, string>(name, value),
    ];

    public static TheoryData<string> Fields => [.. s_fields];

    public static TheoryData<string> FileNames =>
    [
        "../weights.bin", "a/b", "a\\b", "/etc/passwd", "C:\\x", "c:x", "..", ".", "", "a/", "\\\\server\\share", "a\0b", "sub/../weights.bin", " ", "missing",
    ];

    [Fact]
    public void A_sound_bundle_opens()
    {
        using var tampered = new TamperedBundle(withTokenizer: true);
        string[] files = [.. Directory.GetFiles(tampered.Folder).Select(path => Path.GetFileName(path)).Order(StringComparer.Ordinal)];
        AssertOpens();

        // The edits of the tests below change nothing but what they name.
        tampered.EditManifest(_ => { }, rehash: true);
        AssertOpens();

        void AssertOpens()
        {
            using ModelBundle bundle = ModelBundle.Open(tampered.Folder);
            Assert.Equal((5, 300), (bundle.Configuration.DecoderLayerCount, bundle.Configuration.VocabularySize));
            Assert.Equal(files, bundle.FileNames.Order(StringComparer.Ordinal));
        }
    }

    [Fact]
    public void A_missing_folder_or_a_file_instead_is_no_bundle()
    {
        using var tampered = new TamperedBundle();
        Assert.Contains(tampered.File("none"), Assert.Throws<DirectoryNotFoundException>(() => EarlyExitModel.Load(tampered.File("none"))).Message);
        Assert.Contains("weights.bin", Assert.Throws<DirectoryNotFoundException>(() => EarlyExitModel.Load(tampered.File("weights.bin"))).Message);
        Assert.ThrowsAny<ArgumentException>(() => EarlyExitModel.Load(""));
        Assert.ThrowsAny<ArgumentException>(() => EarlyExitModel.Load(null!));
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void A_changed_byte_is_found(string file)
    {
        using var tampered = new TamperedBundle(withTokenizer: true);
        byte[] bytes = File.ReadAllBytes(tampered.File(file));
        foreach (int at in (int[])[0, bytes.Length / 2, bytes.Length - 1])
        {
            bytes[at] ^= 1;
            File.WriteAllBytes(tampered.File(file), bytes);
            if (file != "model.json" || at != bytes.Length / 2)
                AssertRefused(tampered, file);
            bytes[at] ^= 1;
        }
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void A_missing_cut_or_longer_file_is_found(string file)
    {
        using var tampered = new TamperedBundle(withTokenizer: true);
        byte[] bytes = File.ReadAllBytes(tampered.File(file));
        foreach (byte[] other in (byte[][])[[], bytes[..1], bytes[..^1], [.. bytes, 0], [.. bytes, .. bytes]])
        {
            File.WriteAllBytes(tampered.File(file), other);
            AssertRefused(tampered, file);
        }

        File.Delete(tampered.File(file));
        AssertRefused(tampered, file);
        Directory.CreateDirectory(tampered.File(file));
        AssertRefused(tampered, file);
    }

    [Fact]
    public void A_file_or_folder_too_many_is_found()
    {
        using var tampered = new TamperedBundle();
        File.WriteAllText(tampered.File("extra.txt"), "");
        AssertRefused(tampered, "'extra.txt'");
        File.Delete(tampered.File("extra.txt"));
        Directory.CreateDirectory(tampered.File("extra"));
        AssertRefused(tampered, "'extra'");
    }

    [Theory]
    [InlineData("")]
    [InlineData("null")]
    [InlineData("7")]
    [InlineData("[]")]
    [InlineData("{}")]
    [InlineData("{")]
    [InlineData("not JSON")]
    [InlineData("{\"format\":\"Microsoft.ML.EarlyExit.Bundle\",\"formatVersion\":1}")]
    [InlineData("{\"format\":\"\\ud800\",\"formatVersion\":1}")]
    [InlineData("{\"format\":\"Microsoft.ML.EarlyExit.Bundle\",\"formatVersion\":1,\"\\ud800\":1}")]
    [InlineData("{\"\\ud800\":1,\"\\ud800\":1,\"format\":\"Microsoft.ML.EarlyExit.Bundle\",\"formatVersion\":1}")]
    [InlineData("{\"format\":\"Microsoft.ML.EarlyExit.Bundle\",\"formatVersion\":1,\"createdBy\":\"\\udc00\"}")]
    [InlineData("{\"format\":\"Microsoft.ML.EarlyExit.Bundle\",\"formatVersion\":1,\"formatVersion\":1}")]
    public void A_manifest_that_is_none_is_refused(string text)
    {
        using var tampered = new TamperedBundle();
        File.WriteAllText(tampered.ManifestPath, text);
        AssertRefused(tampered, "model.json");
        File.WriteAllBytes(tampered.ManifestPath, Encoding.Unicode.GetPreamble().Concat(Encoding.Unicode.GetBytes(text)).ToArray());
        AssertRefused(tampered, "model.json");
    }

    [Fact]
    public void A_deep_or_huge_manifest_is_refused()
    {
        using var tampered = new TamperedBundle();
        string text = File.ReadAllText(tampered.ManifestPath);
        File.WriteAllText(tampered.ManifestPath, new string('[', 1_000_000));
        AssertRefused(tampered, "model.json");
        File.WriteAllText(tampered.ManifestPath, text.TrimEnd('}', '\n', ' ') + ",\"more\":" + new string('[', 500) + new string(']', 500) + "}");
        AssertRefused(tampered, "model.json");
        File.WriteAllText(tampered.ManifestPath, text + new string(' ', BundleManifest.LargestBytes));
        AssertRefused(tampered, "larger than");
    }

    [Fact]
    public void A_field_given_twice_is_refused()
    {
        using var tampered = new TamperedBundle();
        string text = File.ReadAllText(tampered.ManifestPath);
        File.WriteAllText(tampered.ManifestPath, text.Replace("\"precision\"", "\"weightsFile\": \"weights.bin\", \"precision\"", StringComparison.Ordinal));
        AssertRefused(tampered, "weightsFile");
    }

    [Theory]
    [MemberData(nameof(Manifests))]
    public void A_manifest_that_lies_is_refused(string name)
    {
        using var tampered = new TamperedBundle();
        tampered.EditManifest(s_manifests[name].Apply);
        AssertRefused(tampered, s_manifests[name].Message);
    }

    [Theory]
    [MemberData(nameof(Sizes))]
    public void A_size_that_is_none_is_refused(string name, string value)
    {
        using var tampered = new TamperedBundle();
        tampered.EditManifest(root => root["configuration"]![name] = JsonNode.Parse(value));
        AssertRefused(tampered, OfConfiguration + name);
    }

    [Theory]
    [MemberData(nameof(Fields))]
    public void A_field_that_is_missing_null_or_of_another_kind_is_refused(string field)
    {
        string name = field.Split('/')[^1];
        using var missing = new TamperedBundle();
        missing.EditManifest(root => Parent(root).Remove(name));
        AssertRefused(missing, name);

        // A bundle may have no tokenizer.
        if (name != "tokenizerFile")
        {
            using var none = new TamperedBundle();
            none.EditManifest(root => Parent(root)[name] = null);
            AssertRefused(none, name);
        }

        using var other = new TamperedBundle();
        other.EditManifest(root => Parent(root)[name] = new JsonObject { ["a"] = 1 });
        AssertRefused(other, name is "configuration" or "graphs" or "tensorNames" ? "model.json" : name);

        JsonObject Parent(JsonNode root)
        {
            foreach (string step in field.Split('/').SkipLast(1))
                root = int.TryParse(step, out int index) ? root[index]! : root[step]!;
            return root.AsObject();
        }
    }

    [Theory]
    [MemberData(nameof(FileNames))]
    public void A_file_name_that_leads_elsewhere_is_refused(string name)
    {
        using var tampered = new TamperedBundle();
        tampered.EditManifest(root =>
        {
            JsonNode file = root["files"]![0]!.DeepClone();
            file["name"] = name;
            root["files"]!.AsArray().Add(file);
        });
        AssertRefused(tampered, $"'{name}'");
    }

    /// <summary>With 1,024 heads and two million rows, which a file without content can have, no memory would hold it.</summary>
    [Fact]
    public void A_table_of_biases_that_no_conversion_writes_is_refused()
    {
        using var tampered = new TamperedBundle();
        int heads = 0;
        tampered.EditManifest(root => heads = (int)root["configuration"]!["headCount"]!);
        int most = T5ConfigurationLimits.RelativeBiasBytes / (heads * sizeof(float));
        using (FileStream weights = File.OpenWrite(tampered.File("weights.bin")))
            weights.SetLength(T5ConfigurationLimits.RelativeBiasBytes + (1 << 20));
        tampered.EditManifest(root => SetRows(root, most), rehash: true);
        ModelBundle.Open(tampered.Folder).Dispose();
        tampered.EditManifest(root => SetRows(root, most + 1));
        AssertRefused(tampered, $"tensor 'decoder.relative_bias' has shape [{most + 1}, {heads}]");

        static void SetRows(JsonNode root, int rows)
        {
            JsonNode tensor = root["tensors"]!.AsArray().Single(entry => (string)entry!["name"]! == "decoder.relative_bias")!;
            tensor["shape"]![0] = rows;
            tensor["offset"] = 0;
        }
    }

    [Fact]
    public void A_vocabulary_that_is_none_is_refused_on_loading()
    {
        using var tampered = new TamperedBundle(withTokenizer: true);
        tampered.EditFile("spiece.model", bytes => bytes[..(bytes.Length / 2)]);
        Assert.Contains("spiece.model", Assert.Throws<InvalidModelException>(() => EarlyExitModel.Load(tampered.Folder)).Message);
    }

    [Fact]
    public void A_pipe_in_the_folder_does_not_block()
    {
        if (OperatingSystem.IsWindows())
            Assert.Skip("Windows has no pipes among its files.");
        using var tampered = new TamperedBundle();
        File.Delete(tampered.File("weights.bin"));
        using (var process = System.Diagnostics.Process.Start("mkfifo", [tampered.File("weights.bin")]))
            process.WaitForExit();
        AssertRefused(tampered, "weights.bin' is empty, or a pipe");
        tampered.EditManifest(root => root["files"]![0]!["bytes"] = 0);
        AssertRefused(tampered, "'weights.bin'");
    }

    [Fact]
    public void A_folder_in_a_file_s_place_is_named()
    {
        using var tampered = new TamperedBundle();
        foreach (string name in (string[])["weights.bin", "encoder.onnx", "model.json"])
        {
            File.Delete(tampered.File(name));
            Directory.CreateDirectory(tampered.File(name));
            AssertRefused(tampered, $"{name}' is a folder");
        }
    }

    [Fact]
    public void A_manifest_that_never_ends_is_refused()
    {
        if (OperatingSystem.IsWindows())
            Assert.Skip("Windows has no devices among its files.");
        using var tampered = new TamperedBundle();
        File.Delete(tampered.ManifestPath);
        File.CreateSymbolicLink(tampered.ManifestPath, "/dev/zero");
        AssertRefused(tampered, "model.json' is empty, or a pipe or a device");
    }

    [Fact]
    public void A_bundle_of_links_generates_and_files_with_a_dot_are_none_of_it()
    {
        using var tampered = new TamperedBundle(withTokenizer: true);
        using var links = new TemporaryFolder(Path.GetTempPath());
        foreach (string path in Directory.GetFiles(tampered.Folder))
            File.CreateSymbolicLink(Path.Combine(links.Path, Path.GetFileName(path)), path);
        File.WriteAllText(Path.Combine(links.Path, ".DS_Store"), "x");
        Directory.CreateDirectory(Path.Combine(links.Path, ".git"));
        using EarlyExitModel model = EarlyExitModel.Load(links.Path);
        Assert.Equal(
            3, model.Generate([GenerationInput.FromTokenIds([5, 6, 1])], new TextGenerationOptions { MaxNewTokens = 3, MinNewTokens = 3 })[0].TokenIds.Count);
    }

    [Theory]
    [InlineData("model.json")]
    [InlineData("weights.bin")]
    [InlineData("encoder.onnx")]
    public void A_link_to_nowhere_is_a_missing_file(string name)
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "Links need a privilege there.");
        using var tampered = new TamperedBundle();
        File.Delete(tampered.File(name));
        File.CreateSymbolicLink(tampered.File(name), "nowhere");
        AssertRefused(tampered, $"'{name}' is missing");
    }

    private static void AssertRefused(TamperedBundle tampered, string part)
    {
        string message = Assert.Throws<InvalidModelException>(() => ModelBundle.Open(tampered.Folder)).Message;
        Assert.Contains(tampered.Folder, message);
        Assert.Contains(part, message);
    }
}
