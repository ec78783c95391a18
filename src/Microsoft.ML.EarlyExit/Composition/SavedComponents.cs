using Microsoft.ML;
using Microsoft.ML.EarlyExit;
using Microsoft.ML.EarlyExit.Calibration;
using Microsoft.ML.EarlyExit.Composition;
using Microsoft.ML.EarlyExit.Interop;
using Microsoft.ML.Runtime;

[assembly: LoadableClass(
    typeof(TextGenerationTransformer), typeof(SavedComponents.TextGenerationLoader), null, typeof(SignatureLoadModel),
    "Text generation with early exit", TextGenerationTransformer.LoaderSignature)]
[assembly: LoadableClass(
    typeof(LayerScoringTransformer), typeof(SavedComponents.LayerScoringLoader), null, typeof(SignatureLoadModel),
    "Scores of every decoder layer", LayerScoringTransformer.LoaderSignature)]

namespace Microsoft.ML.EarlyExit.Composition;

/// <summary>What ML.NET calls to load saved components: the one place that knows all of them, and what is saved beside them.</summary>
internal static class SavedComponents
{
    /// <summary>Loads a saved text generation.</summary>
    internal static class TextGenerationLoader
    {
        internal static TextGenerationTransformer Create(IHostEnvironment environment, ModelLoadContext context)
        {
            SavedStreams streams = MLNetInterop.BeginLoad(context, TextGenerationTransformer.Component);
            return TextGenerationTransformer.Load(environment, streams, CertificateStream.Read(streams));
        }
    }

    /// <summary>Loads a saved layer scoring.</summary>
    internal static class LayerScoringLoader
    {
        internal static LayerScoringTransformer Create(IHostEnvironment environment, ModelLoadContext context) =>
            LayerScoringTransformer.Load(environment, MLNetInterop.BeginLoad(context, LayerScoringTransformer.Component));
    }
}
