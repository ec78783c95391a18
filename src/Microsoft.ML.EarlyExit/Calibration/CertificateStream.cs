using System.Text;
using Microsoft.ML.EarlyExit.Interop;
using Microsoft.ML.EarlyExit.ModelSharing;

namespace Microsoft.ML.EarlyExit.Calibration;

/// <summary>The certificate as a saved text generation has it beside its own streams.</summary>
internal static class CertificateStream
{
    private const string Name = "Certificate.json";

    /// <summary>What is saved of a certificate.</summary>
    public static AttachedStream Of(CalibrationCertificate certificate) => new(Name, Encoding.UTF8.GetBytes(certificate.ToJson()), certificate);

    /// <summary>Reads the certificate again; null where there is none.</summary>
    /// <exception cref="InvalidDataException">It is damaged.</exception>
    public static AttachedStream? Read(SavedStreams streams)
    {
        CalibrationCertificate? certificate = null;
        streams.TryRead(Name, json => certificate = CalibrationCertificateJson.Parse(json, $"{Name} of the saved text generation"));
        return certificate is null ? null : Of(certificate);
    }
}
