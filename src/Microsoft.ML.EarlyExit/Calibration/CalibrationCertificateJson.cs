using System.Buffers;
using System.Globalization;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using Microsoft.ML.EarlyExit.Evaluation.Json;
using Microsoft.ML.EarlyExit.Exit;

namespace Microsoft.ML.EarlyExit.Calibration;

/// <summary>Certificate files: the JSON form of <see cref="CalibrationCertificate"/>.</summary>
internal static class CalibrationCertificateJson
{
    private static readonly (string Name, RiskTest Value)[] s_tests =
    [
        ("hoeffdingBentkus", RiskTest.HoeffdingBentkus), ("binomial", RiskTest.Binomial), ("wsr", RiskTest.Wsr),
    ];

    private static readonly (string Name, RiskProcedure Value)[] s_procedures =
    [
        ("fixedSequence", RiskProcedure.FixedSequence), ("fixedSequenceByCost", RiskProcedure.FixedSequenceByCost), ("bonferroni", RiskProcedure.Bonferroni),
        ("holm", RiskProcedure.Holm), ("conformalRiskControl", RiskProcedure.ConformalRiskControl),
    ];

    private static readonly (string Name, RougeTokenizer Value)[] s_tokenizers = [("rouge", RougeTokenizer.Rouge), ("unicode", RougeTokenizer.Unicode)];

    /// <summary>What files and the tool call a test.</summary>
    internal static string Name(RiskTest test) => s_tests.First(pair => pair.Value == test).Name;

    /// <summary>What files and the tool call a procedure.</summary>
    internal static string Name(RiskProcedure procedure) => s_procedures.First(pair => pair.Value == procedure).Name;

    /// <summary>ROUGE's tokenizers by their names.</summary>
    internal static IReadOnlyList<(string Name, RougeTokenizer Value)> Tokenizers => s_tokenizers;

    /// <summary>The tests by their names.</summary>
    internal static IReadOnlyList<(string Name, RiskTest Value)> Tests => s_tests;

    /// <summary>The procedures by their names.</summary>
    internal static IReadOnlyList<(string Name, RiskProcedure Value)> Procedures => s_procedures;

    /// <summary>Reads a certificate.</summary>
    /// <exception cref="InvalidDataException">A field is missing, unknown, or has an impossible value.</exception>
    internal static CalibrationCertificate Parse(Stream json, string sourceName) => JsonFields.Parse(json, sourceName, Read);

    /// <summary>Writes a certificate so that <see cref="Parse"/> reads the same one.</summary>
    internal static string Write(CalibrationCertificate certificate)
    {
        var buffer = new ArrayBufferWriter<byte>();
        using (var writer = new Utf8JsonWriter(buffer, new JsonWriterOptions { Indented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping }))
        {
            writer.WriteStartObject();
            writer.WriteString("statement", certificate.Statement);
            writer.WritePropertyName("policy");
            WritePolicy(writer, certificate.Policy);
            WriteSingle(writer, "lambda", certificate.Lambda);
            if (certificate.PolicyIndex is { } index)
                writer.WriteNumber("policyIndex", index);
            writer.WriteNumber("delta", certificate.Delta);
            writer.WriteNumber("epsilon", certificate.Epsilon);
            writer.WriteString("loss", certificate.Loss);
            if (certificate.RougeTokenizer is { } tokenizer)
                writer.WriteString("rougeTokenizer", s_tokenizers.First(pair => pair.Value == tokenizer).Name);
            writer.WriteString("test", Name(certificate.Test));
            writer.WriteString("procedure", Name(certificate.Procedure));
            writer.WriteNumber("n", certificate.PromptCount);
            writer.WriteStartArray("policies");
            foreach (ExitPolicy policy in certificate.Policies)
                WritePolicy(writer, policy);
            writer.WriteEndArray();
            writer.WriteStartArray("candidates");
            foreach (CalibrationCandidate candidate in certificate.Candidates)
                WriteCandidate(writer, candidate);
            writer.WriteEndArray();
            writer.WriteNumber("seed", certificate.Seed);
            writer.WriteString("inputsSha256", certificate.InputsSha256);
            writer.WriteString("modelSha256", certificate.ModelSha256);
            writer.WriteString("date", certificate.Date.ToString("O", CultureInfo.InvariantCulture));
            writer.WriteString("version", certificate.Version);
            writer.WriteEndObject();
        }

        return Encoding.UTF8.GetString(buffer.WrittenSpan);
    }

    private static void WritePolicy(Utf8JsonWriter writer, ExitPolicy? policy)
    {
        using JsonDocument json = JsonDocument.Parse(policy is null ? "null" : ExitPolicyJson.Write(policy));
        json.RootElement.WriteTo(writer);
    }

    private static void WriteCandidate(Utf8JsonWriter writer, CalibrationCandidate candidate)
    {
        writer.WriteStartObject();
        writer.WriteNumber("policy", candidate.PolicyIndex);
        WriteSingle(writer, "lambda", candidate.Lambda);
        writer.WriteNumber("meanLoss", candidate.MeanLoss);
        WriteNumber(writer, "pValue", candidate.PValue);
        WriteNumber(writer, "meanExitLayer", candidate.MeanExitLayer);
        writer.WriteStartObject("operations");
        writer.WriteNumber("decoder", candidate.Operations.Decoder);
        writer.WriteNumber("statePropagation", candidate.Operations.StatePropagation);
        writer.WriteNumber("confidence", candidate.Operations.Confidence);
        writer.WriteNumber("head", candidate.Operations.Head);
        writer.WriteNumber("paper", candidate.Operations.Paper);
        writer.WriteEndObject();
        writer.WriteBoolean("passed", candidate.Passed);
        writer.WriteEndObject();
    }

    private static void WriteSingle(Utf8JsonWriter writer, string name, float? value)
    {
        if (value is { } number)
            writer.WriteNumber(name, number);
        else
            writer.WriteNull(name);
    }

    // JSON has no NaN.
    private static void WriteNumber(Utf8JsonWriter writer, string name, double value)
    {
        if (double.IsFinite(value))
            writer.WriteNumber(name, value);
        else
            writer.WriteNull(name);
    }

    private static CalibrationCertificate Read(JsonFields fields)
    {
        ExitPolicy[] policies = fields.GetObjects("policies", ExitPolicyJson.Read);
        return new CalibrationCertificate(
            statement: fields.GetString("statement"),
            policy: fields.Has("policy") ? fields.GetObject("policy", ExitPolicyJson.Read) : null,
            lambda: fields.Has("lambda") ? Threshold(fields) : null,
            policyIndex: fields.Has("policyIndex") ? Index(fields, "policyIndex", policies.Length) : null,
            delta: InUnitInterval(fields, "delta"),
            epsilon: InUnitInterval(fields, "epsilon"),
            loss: fields.GetString("loss"),
            rougeTokenizer: fields.Has("rougeTokenizer") ? Choose(fields, "rougeTokenizer", s_tokenizers) : null,
            test: Choose(fields, "test", s_tests),
            procedure: Choose(fields, "procedure", s_procedures),
            promptCount: fields.GetInt32("n") is >= 0 and var count ? count : throw fields.Refuse("n", "it must be at least 0"),
            policies: policies,
            candidates: fields.GetObjects("candidates", candidate => ReadCandidate(candidate, policies.Length)) is { Length: > 0 } candidates
                ? candidates
                : throw fields.Refuse("candidates", "it must have at least one entry"),
            seed: fields.GetInt32("seed"),
            inputsSha256: fields.GetString("inputsSha256"),
            modelSha256: fields.GetString("modelSha256"),
            date: DateTimeOffset.TryParseExact(fields.GetString("date"), "O", CultureInfo.InvariantCulture, DateTimeStyles.None, out DateTimeOffset date)
                ? date
                : throw fields.Refuse("date", "it must be a date and time in ISO 8601, with seven decimals and offset"),
            version: fields.GetString("version"));
    }

    private static CalibrationCandidate ReadCandidate(JsonFields fields, int policyCount) => new(
        policyIndex: Index(fields, "policy", policyCount),
        lambda: Threshold(fields),
        meanLoss: InUnitInterval(fields, "meanLoss"),
        pValue: fields.Has("pValue") ? InUnitInterval(fields, "pValue") : double.NaN,
        meanExitLayer: fields.Has("meanExitLayer") ? fields.GetDouble("meanExitLayer") : double.NaN,
        operations: fields.GetObject("operations", operations => new MeanOperationCounts(
            operations.GetDouble("decoder"), operations.GetDouble("statePropagation"), operations.GetDouble("confidence"), operations.GetDouble("head"),
            operations.GetDouble("paper"))),
        passed: fields.GetBoolean("passed"));

    private static int Index(JsonFields fields, string name, int policyCount) =>
        fields.GetInt32(name) is var index && index >= 0 && index < policyCount
            ? index
            : throw fields.Refuse(name, $"it must be one of the {policyCount} policies, counted from 0");

    private static float Threshold(JsonFields fields) =>
        fields.GetSingle("lambda") is >= 0 and <= 1 and var value ? value : throw fields.Refuse("lambda", "it must be from 0 to 1");

    private static double InUnitInterval(JsonFields fields, string name) =>
        fields.GetDouble(name) is >= 0 and <= 1 and var value ? value : throw fields.Refuse(name, "it must be from 0 to 1");

    private static T Choose<T>(JsonFields fields, string name, (string Name, T Value)[] values)
    {
        string given = fields.GetString(name);
        foreach ((string known, T value) in values)
        {
            if (known == given)
                return value;
        }

        throw fields.Refuse(name, $"it must be one of {string.Join(", ", values.Select(value => value.Name))}");
    }
}
