using System.Text.Json;
using Microsoft.ML.EarlyExit.Calibration;
using Microsoft.ML.EarlyExit.Evaluation.Json;
using Microsoft.ML.EarlyExit.Exit;
using Microsoft.ML.EarlyExit.Reproduction.Output;
using Microsoft.ML.EarlyExit.Tool.Interaction;

namespace Microsoft.ML.EarlyExit.Tool.Commands;

/// <summary>What <c>--policy</c> names: a policy, a certificate, or a pipeline that was saved.</summary>
/// <param name="Name">The file, for messages.</param>
/// <param name="Policy">The policy; null: never exit.</param>
/// <param name="ModelIdentity">The model that it belongs to; null where it belongs to none.</param>
/// <param name="IsCertified">Whether it is certified, and so for no other model.</param>
internal sealed record PolicyFile(string Name, ExitPolicy? Policy, string? ModelIdentity = null, bool IsCertified = false)
{
    private const string CertificateField = "modelSha256";

    /// <summary>Reads one.</summary>
    /// <exception cref="InvalidDataException">It is none of the three, or not sound.</exception>
    public static PolicyFile Read(string path, ToolContext context) => PathSymbols.Read(path, context, Parse);

    /// <summary>Refuses a certificate of another model; a policy of one is only a policy.</summary>
    /// <exception cref="InvalidDataException">It certifies another model.</exception>
    public void CheckModel(EarlyExitModel model, MessageWriter messages)
    {
        string identity = model.Bundle.Identity;
        if (ModelIdentity is null || ModelIdentity.Equals(identity, StringComparison.OrdinalIgnoreCase))
            return;
        if (IsCertified)
        {
            throw new InvalidDataException(
                $"{Name} certifies another model than '{model.Bundle.Folder}': its modelSha256 is {ModelIdentity}, the bundle's is {identity}. "
                + "Calibrate with this bundle, or give the policy alone.");
        }

        messages.Say($"{Name} was saved with another model; its policy is used with '{model.Bundle.Folder}' all the same.");
    }

    private static PolicyFile Parse(Stream stream, string name)
    {
        byte[] start = new byte[4];
        int count = stream.ReadAtLeast(start, start.Length, throwOnEndOfStream: false);
        if (start.AsSpan(0, count).SequenceEqual("PK\u0003\u0004"u8))
            return SavedPipeline.ReadPolicy(stream, name);

        using var json = new MemoryStream();
        json.Write(start, 0, count);
        byte[] buffer = new byte[1 << 16];
        while (json.Length <= JsonFields.LargestSource && (count = stream.Read(buffer)) > 0)
            json.Write(buffer, 0, count);
        bool isCertificate = HasField(json.GetBuffer().AsSpan(0, (int)json.Length), CertificateField);
        json.Position = 0;
        return isCertificate ? Certified(CalibrationCertificateJson.Parse(json, name), name) : new PolicyFile(name, ExitPolicyJson.Parse(json, name));
    }

    /// <summary>The policy of a certificate, with its threshold.</summary>
    internal static PolicyFile Certified(CalibrationCertificate certificate, string name) => (certificate.Policy, certificate.Lambda) switch
    {
        (_, null) => new PolicyFile(name, null, certificate.ModelSha256, IsCertified: true),
        ({ } policy, { } lambda) => new PolicyFile(name, policy with { Threshold = lambda }, certificate.ModelSha256, IsCertified: true),
        _ => throw new InvalidDataException($"{name}: lambda is {certificate.Lambda}, but there is no policy; calibrate again."),
    };

    /// <summary>Whether a text is a JSON object with a field; what is wrong with it is left to who reads it.</summary>
    private static bool HasField(ReadOnlySpan<byte> json, string field)
    {
        if (json.StartsWith("\uFEFF"u8))
            json = json[3..];
        try
        {
            var reader = new Utf8JsonReader(json);
            while (reader.Read())
            {
                if (reader.CurrentDepth == 1 && reader.TokenType == JsonTokenType.PropertyName && reader.ValueTextEquals(field))
                    return true;
            }
        }
        catch (Exception exception) when (exception is JsonException or InvalidOperationException)
        {
            return false;
        }

        return false;
    }
}
