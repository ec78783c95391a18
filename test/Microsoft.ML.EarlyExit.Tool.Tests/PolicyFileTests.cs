using System.IO.Compression;
using System.Text.Json.Nodes;

namespace Microsoft.ML.EarlyExit.Tool.Tests;

/// <summary><c>--policy</c> as a certificate and as a saved pipeline.</summary>
public sealed class PolicyFileTests(ConvertedModels models) : IDisposable
{
    private const string Policy = """{"minimumLayer": 2, "threshold": 0.4, "pruning": {"kind": "fixed", "k": 50}}""";

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void A_certificate_is_its_policy_with_its_threshold()
    {
        JsonObject certificate = Certificate(models.TinyText);
        certificate["policy"] = JsonNode.Parse("""{"minimumLayer": 2, "threshold": 0.9, "pruning": {"kind": "fixed", "k": 50}}""");
        certificate["lambda"] = 0.4;
        string path = Write("certificate.json", certificate);
        Assert.Equal(Generate(Write("policy.json", Policy)).Output, Generate(path).Output);

        // Never exit.
        certificate["policy"] = null;
        certificate["lambda"] = null;
        Assert.Equal(Generate(null).Output, Generate(Write("never.json", certificate)).Output);

        certificate["lambda"] = 0.4;
        Generate(Write("damaged.json", certificate)).AssertFailed(1, "damaged.json: lambda is 0.4, but there is no policy");
    }

    [Fact]
    public void A_certificate_without_candidates_is_refused_by_whoever_reads_it()
    {
        JsonObject certificate = Certificate(models.TinyText);
        certificate["candidates"] = new JsonArray();
        string path = Write("empty.json", certificate);
        Generate(path).AssertFailed(1, "empty.json: candidates is []", "at least one");
        ToolRunner.Run("figures", "--certificate", path, "--output", _folder.File("figures")).AssertFailed(1, "empty.json: candidates is []", "at least one");
    }

    [Fact]
    public void A_certificate_of_another_model_is_refused()
    {
        string path = Write("certificate.json", Certificate(models.OtherTinyText));
        Generate(path).AssertFailed(1, $"{path} certifies another model than '{models.TinyText}'", "modelSha256");
        ToolRunner.Run("score", models.TinyText, "--input", Rows(), "--policy", path).AssertFailed(1, "another model");
        Generate(Write("damaged.json", """{"modelSha256": 5}""")).AssertFailed(1, "damaged.json");
    }

    [Fact]
    public void Flags_over_a_certificate_are_said_to_void_it()
    {
        ToolResult result = Generate(Write("certificate.json", Certificate(models.TinyText)), "--threshold", "0.1");
        Assert.Equal((0, $"What {_folder.File("certificate.json")} certifies does not hold with --threshold.\n"), (result.ExitCode, result.Error));
    }

    [Fact]
    public void A_certificate_can_be_calibrated_again()
    {
        string path = Write("certificate.json", Certificate(models.TinyText));
        string rows = Rows(20);
        Assert.Equal(0, Calibrate(models.TinyText, path, rows, _folder.File("again.json")).ExitCode);
        Calibrate(models.OtherTinyText, path, rows, _folder.File("other.json")).AssertFailed(1, "another model");
        JsonObject never = Certificate(models.TinyText);
        never["policy"] = never["lambda"] = null;
        Calibrate(models.TinyText, Write("never.json", never), rows, _folder.File("other.json")).AssertFailed(1, "no policy to calibrate");
    }

    [Fact]
    public void A_certificate_goes_to_standard_output_where_it_is_asked_for()
    {
        ToolResult result = Calibrate(models.TinyText, Write("policy.json", Policy), Rows(20), "-");
        Assert.Equal(0, result.ExitCode);
        Assert.Equal("tokenF1", JsonNode.Parse(result.Output)!["loss"]!.GetValue<string>());
        Assert.Equal(["grid.json", "in.jsonl", "policy.json"], Directory.GetFileSystemEntries(_folder.Path).Select(Path.GetFileName).Order());
    }

    [Fact]
    public void A_saved_pipeline_is_the_policy_of_its_text_generation()
    {
        var policy = new ExitPolicy { MinimumLayer = 2, Threshold = 0.4f, Pruning = VocabularyPruning.Fixed(50) };
        string path = Save("pipeline.zip", models.TinyText, policy);
        ToolResult result = Generate(path);
        Assert.Equal((0, ""), (result.ExitCode, result.Error));
        Assert.Equal(Generate(Write("policy.json", Policy)).Output, result.Output);
        Assert.Equal(Generate(null).Output, Generate(Save("full.zip", models.TinyText, null)).Output);

        // Without a certificate a policy is for any model.
        ToolResult other = ToolRunner.Run("generate", models.OtherTinyText, "--text", "a", "--policy", path);
        Assert.Equal(0, other.ExitCode);
        Assert.Contains("was saved with another model", other.Error);
    }

    [Fact]
    public void A_calibrated_pipeline_is_refused_for_another_model()
    {
        string path = SaveCalibrated();
        Assert.Equal((0, ""), (Generate(path).ExitCode, Generate(path).Error));
        ToolRunner.Run("generate", models.OtherTinyText, "--text", "a", "--policy", path).AssertFailed(1, "another model");
    }

    [Fact]
    public void Other_zip_files_and_damaged_ones_are_refused()
    {
        string other = _folder.File("other.zip");
        using (ZipArchive archive = ZipFile.Open(other, ZipArchiveMode.Create))
            archive.CreateEntry("a.txt").Open().Dispose();
        Generate(other).AssertFailed(1, "other.zip is a zip file, but no saved pipeline with a text generation");

        File.WriteAllBytes(_folder.File("short.zip"), File.ReadAllBytes(other)[..20]);
        Generate(_folder.File("short.zip")).AssertFailed(1, "short.zip is damaged");

        foreach ((string entry, string? content) in new[]
        {
            ("Policy.json", """{"treshold": 1}"""), ("Policy.json", null), ("Transformer.json", "{}"), ("Transformer.json", "["),
        })
        {
            string damaged = Save("damaged.zip", models.TinyText, new ExitPolicy());
            using (ZipArchive archive = ZipFile.Open(damaged, ZipArchiveMode.Update))
            {
                ZipArchiveEntry old = archive.Entries.Single(one => one.Name == entry);
                string name = old.FullName;
                old.Delete();
                if (content is not null)
                {
                    using var writer = new StreamWriter(archive.CreateEntry(name).Open());
                    writer.Write(content);
                }
            }

            Generate(damaged).AssertFailed(1, "damaged.zip");
        }
    }

    private ToolResult Calibrate(string model, string policy, string rows, string output) => ToolRunner.Run(
        "calibrate", model, "--input", rows, "--delta", "0.3", "--epsilon", "0.2", "--loss", "tokenF1", "--policy", policy,
        "--grid", Write("grid.json", "[1]"), "--output", output);

    private ToolResult Generate(string? policy, params string[] more) =>
        ToolRunner.Run(
            ["generate", models.TinyText, "--text", "The Mill is a pub.", "--max-new-tokens", "12", "--trace",
                .. policy is null ? (string[])[] : ["--policy", policy], .. more]);

    private string Save(string name, string model, ExitPolicy? policy)
    {
        var mlContext = new MLContext();
        IDataView data = mlContext.Data.LoadFromEnumerable([new Prompt("a")]);
        using TextGenerationTransformer transformer = mlContext.Transforms.Text
            .GenerateText("Text", "Input", model, new TextGenerationOptions { Exit = policy }).Fit(data);
        mlContext.Model.Save(transformer, data.Schema, _folder.File(name));
        return _folder.File(name);
    }

    private string SaveCalibrated()
    {
        var mlContext = new MLContext();
        IDataView data = mlContext.Data.LoadFromEnumerable(Enumerable.Range(0, 20).Select(index => new Prompt($"a {index}")));
        using TextGenerationTransformer transformer = mlContext.TextGeneration.CalibrateExit(new ExitCalibrationEstimator.Options
        {
            Generation = new TextGenerationEstimator.Options
            {
                ModelPath = models.TinyText, InputColumnName = "Input", OutputColumnName = "Text",
                GenerationOptions = new TextGenerationOptions { MaxNewTokens = 4 },
            },
            Policies = [new ExitPolicy { MinimumLayer = 2 }],
            Delta = 0.3,
            Epsilon = 0.2,
            Loss = CalibrationLoss.TokenF1,
            Grid = [1],
        }).Fit(data);
        Assert.NotNull(transformer.Certificate);
        mlContext.Model.Save(transformer, data.Schema, _folder.File("calibrated.zip"));
        return _folder.File("calibrated.zip");
    }

    private string Rows(int count = 1)
    {
        File.WriteAllLines(
            _folder.File("in.jsonl"),
            Enumerable.Range(0, count).Select(index => $$"""{"id": {{index}}, "text": "pub {{index}}", "target": "a"}"""));
        return _folder.File("in.jsonl");
    }

    /// <summary>A certificate of a bundle, with a policy that exits.</summary>
    private JsonObject Certificate(string bundle)
    {
        ToolResult result = Calibrate(bundle, Write("calibrated.json", """{"minimumLayer": 2}"""), Rows(20), "-");
        Assert.Equal(0, result.ExitCode);
        JsonObject certificate = JsonNode.Parse(result.Output)!.AsObject();
        certificate["policy"] = JsonNode.Parse("""{"minimumLayer": 2, "threshold": 0.5}""");
        certificate["lambda"] = 0.5;
        return certificate;
    }

    private string Write(string name, JsonNode json) => Write(name, json.ToJsonString());

    private string Write(string name, string json)
    {
        File.WriteAllText(_folder.File(name), json);
        return _folder.File(name);
    }

    private sealed record Prompt(string Input);
}
