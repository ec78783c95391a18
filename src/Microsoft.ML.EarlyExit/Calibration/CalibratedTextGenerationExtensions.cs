using Microsoft.ML.EarlyExit;

namespace Microsoft.ML;

/// <summary>What a calibrated text generation has beside any other.</summary>
public static class CalibratedTextGenerationExtensions
{
    /// <param name="transformer">The text generation.</param>
    extension(TextGenerationTransformer transformer)
    {
        /// <summary>What the policy was certified for; null where it was not calibrated. Saved and loaded with the transformer.</summary>
        /// <exception cref="ArgumentNullException">The transformer is null.</exception>
        public CalibrationCertificate? Certificate
        {
            get
            {
                ArgumentNullException.ThrowIfNull(transformer);
                return transformer.Attachment?.Value as CalibrationCertificate;
            }
        }
    }
}
