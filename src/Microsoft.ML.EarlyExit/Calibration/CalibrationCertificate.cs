using System.Globalization;
using System.Text;
using Microsoft.ML.EarlyExit.Calibration;
using Microsoft.ML.EarlyExit.Evaluation.Files;
using Microsoft.ML.EarlyExit.Files;

namespace Microsoft.ML.EarlyExit;

/// <summary>What a calibration certifies, for which model and data, and everything it was found from. Immutable; saved with its transformer.</summary>
public sealed class CalibrationCertificate
{
    internal CalibrationCertificate(
        ExitPolicy? policy, float? lambda, double delta, double epsilon, string loss, RougeTokenizer? rougeTokenizer, RiskTest test,
        RiskProcedure procedure, int promptCount, IReadOnlyList<ExitPolicy> policies, int? policyIndex,
        IReadOnlyList<CalibrationCandidate> candidates, int seed, string inputsSha256, string modelSha256, DateTimeOffset date, string version,
        string statement)
    {
        Policy = policy;
        Lambda = lambda;
        Delta = delta;
        Epsilon = epsilon;
        Loss = loss;
        RougeTokenizer = rougeTokenizer;
        Test = test;
        Procedure = procedure;
        PromptCount = promptCount;
        Policies = policies;
        PolicyIndex = policyIndex;
        Candidates = candidates;
        Seed = seed;
        InputsSha256 = inputsSha256;
        ModelSha256 = modelSha256;
        Date = date;
        Version = version;
        Statement = statement;
    }

    /// <summary>The calibrated policy, its threshold being <see cref="Lambda"/>; null: never exit, the full model.</summary>
    public ExitPolicy? Policy { get; }

    /// <summary>The certified threshold; null: never exit.</summary>
    public float? Lambda { get; }

    /// <summary>The tolerance δ of the expected loss.</summary>
    public double Delta { get; }

    /// <summary>The error level ε: the guarantee holds with probability 1 - ε.</summary>
    public double Epsilon { get; }

    /// <summary>The loss, by <see cref="CalibrationLoss.Name"/>.</summary>
    public string Loss { get; }

    /// <summary>What words were to the loss; null where it is not made of ROUGE.</summary>
    public RougeTokenizer? RougeTokenizer { get; }

    /// <summary>The test that p-values come from.</summary>
    public RiskTest Test { get; }

    /// <summary>How several candidates were tested together.</summary>
    public RiskProcedure Procedure { get; }

    /// <summary>The prompts that were tested on.</summary>
    public int PromptCount { get; }

    /// <summary>The policies, without a threshold of their own.</summary>
    public IReadOnlyList<ExitPolicy> Policies { get; }

    /// <summary>The index of <see cref="Policy"/> in <see cref="Policies"/>, from 0; null: never exit.</summary>
    public int? PolicyIndex { get; }

    /// <summary>Every candidate that was tested, in the order of testing.</summary>
    public IReadOnlyList<CalibrationCandidate> Candidates { get; }

    /// <summary>The seed of the held-out split, which only <see cref="RiskProcedure.FixedSequenceByCost"/> makes.</summary>
    public int Seed { get; }

    /// <summary>SHA-256 of the prompts' encoder ids and references, in hexadecimal digits: the same data gives the same.</summary>
    public string InputsSha256 { get; }

    /// <summary>SHA-256 that identifies the model bundle, in hexadecimal digits.</summary>
    public string ModelSha256 { get; }

    /// <summary>When the calibration ended.</summary>
    public DateTimeOffset Date { get; }

    /// <summary>The library's version.</summary>
    public string Version { get; }

    /// <summary>The guarantee in a sentence; or that there is none, and why.</summary>
    public string Statement { get; }

    /// <summary>Reads a certificate that <see cref="Save"/> or the tool wrote.</summary>
    /// <param name="filePath">The file; a pipe is read to its end.</param>
    /// <returns>The certificate.</returns>
    /// <exception cref="ArgumentException">The path is null or empty.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    /// <exception cref="UnauthorizedAccessException">The file must not be read.</exception>
    /// <exception cref="InvalidDataException">The file is no certificate; the message names the field.</exception>
    public static CalibrationCertificate Load(string filePath)
    {
        ArgumentException.ThrowIfNullOrEmpty(filePath);
        using FileStream stream = InputFile.Open(filePath);
        return CalibrationCertificateJson.Parse(stream, filePath);
    }

    /// <summary>The certificate as JSON.</summary>
    /// <returns>The text of the file that <see cref="Save"/> writes.</returns>
    public string ToJson() => CalibrationCertificateJson.Write(this);

    /// <summary>Saves <see cref="ToJson"/>. An older file is replaced in one step: if the process dies while saving, the file is the complete old one or the
    /// complete new one.</summary>
    /// <param name="filePath">The file; its folder must exist.</param>
    /// <exception cref="ArgumentException">The path is null or empty.</exception>
    /// <exception cref="DirectoryNotFoundException">The path's folder does not exist.</exception>
    /// <exception cref="IOException">The path is a folder or a device, or the file cannot be written or replaced.</exception>
    public void Save(string filePath)
    {
        ArgumentException.ThrowIfNullOrEmpty(filePath);
        AtomicFile.Write(filePath, "certificate", stream => stream.Write(Encoding.UTF8.GetBytes(ToJson())));
    }

    /// <summary>The statement and a table of the candidates.</summary>
    /// <returns>Several lines of text.</returns>
    public override string ToString()
    {
        var text = new StringBuilder();
        text.AppendLine(Statement);
        text.AppendLine();
        text.AppendLine("policy     λ   mean loss     p-value  mean exit  GFLOP/prompt  certified");
        foreach (CalibrationCandidate candidate in Candidates)
        {
            bool isChosen = Lambda == candidate.Lambda && PolicyIndex == candidate.PolicyIndex;
            text.Append(string.Create(
                CultureInfo.InvariantCulture,
                $"{candidate.PolicyIndex,6}  {candidate.Lambda,4:0.00##}  {candidate.MeanLoss,10:0.00000}  {candidate.PValue,10:0.###E+00}  "));
            text.AppendLine(string.Create(
                CultureInfo.InvariantCulture,
                $"{candidate.MeanExitLayer,9:0.00}  {candidate.Operations.Total / 1e9,12:0.000}  {(isChosen ? "chosen" : candidate.Passed ? "yes" : "no")}"));
        }

        return text.ToString();
    }
}
