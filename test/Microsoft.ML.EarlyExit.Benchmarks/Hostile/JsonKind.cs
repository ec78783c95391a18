using System.Text;
using Microsoft.ML.EarlyExit.Calibration;
using Microsoft.ML.EarlyExit.Evaluation.DataSets;
using Microsoft.ML.EarlyExit.Evaluation.Files;
using Microsoft.ML.EarlyExit.Exit;
using Microsoft.ML.EarlyExit.Generation;

namespace Microsoft.ML.EarlyExit.Benchmarks;

/// <summary>Policies, options, certificates, checkpoints of calibrations, and data sets, each given to its reader.</summary>
internal sealed class JsonKind(HostileSeeds seeds) : HostileKind("json", 12)
{
    /// <summary>What the sound checkpoint says that it is of.</summary>
    public const string CheckpointIdentity = "identity";

    private static readonly string[] s_forms =
    [
        "policy.json", "policy-contrastive.json", "policy-thresholds.json", "policy-speculation.json", "policy-shallow-deep.json", "policy-classifier.json",
        "options.json", "options.json",
        "certificate.json", "certificate.json", "calibration.partial", "rows.jsonl", "squad.json", "samsum.json", "e2e.csv", "two.tsv",
    ];

    public override string Write(HostileRandom random, string folder)
    {
        string name = random.Pick(s_forms);
        byte[] bytes = TextMutator.Mutate(name, seeds.Texts[name], random);
        string holder = Directory.CreateDirectory(Path.Combine(folder, "text")).FullName;
        File.WriteAllBytes(Path.Combine(holder, name), bytes);
        return random.Chance(2) ? $"{name}; {FolderMutator.Mutate(holder, random, hasPipes: false)}" : name;
    }

    public override string? Receive(HostileRandom random, string folder)
    {
        string holder = Path.Combine(folder, "text");
        string path = Directory.GetFileSystemEntries(holder).Order(StringComparer.Ordinal).FirstOrDefault(entry => s_forms.Contains(Path.GetFileName(entry)))
            ?? Path.Combine(holder, "policy.json");
        Type[] documented = [typeof(InvalidDataException), typeof(IOException)];
        switch (Path.GetFileName(path))
        {
            case var name when name.StartsWith("policy", StringComparison.Ordinal):
                ExitPolicy policy = Call(() => ExitPolicy.Load(path), [.. documented, typeof(UnauthorizedAccessException)]);
                string text = ExitPolicyJson.Write(policy);
                BrokenResultException.Unless(ExitPolicyJson.Write(ExitPolicyJson.Parse(text, "again")) == text, "a policy that is another one when read again");
                break;
            case "options.json":
                TextGenerationOptions options = Call(() => InputFile.Read(path, TextGenerationOptionsJson.Parse), documented);
                BrokenResultException.Unless(
                    TextGenerationOptionsJson.Parse(TextGenerationOptionsJson.Write(options), "again") == options, "options that are others when read again");
                break;
            case "certificate.json":
                CalibrationCertificate certificate = Call(() => CalibrationCertificate.Load(path), documented);
                string json = certificate.ToJson();
                CalibrationCertificate again = CalibrationCertificateJson.Parse(new MemoryStream(Encoding.UTF8.GetBytes(json)), "again");
                BrokenResultException.Unless(again.ToJson() == json, "a certificate that is another one when read again");
                BrokenResultException.Unless(certificate.ToString()!.Length > 0, "a certificate without text");
                break;
            case "calibration.partial":
                Call(() => new CalibrationCheckpoint(path, CheckpointIdentity), documented).Dispose();
                break;
            default:
                DataSetFormat format = Call(() => DataSetFile.Detect(path), documented);
                Call(() => DataSetFile.Read(path, format).Count(), documented);
                break;
        }

        return null;
    }
}
