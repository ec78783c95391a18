using Microsoft.ML.EarlyExit.Conversion;

namespace Samples;

/// <summary>The demo T5 as a model bundle, converted by the first sample that needs it.</summary>
internal static class DemoModel
{
    /// <summary>The bundle's folder.</summary>
    public static string GetBundle() => GetBundle(SampleFolders.Checkpoint, SampleFolders.Artifact("t5-restaurants.bundle"));

    /// <summary>A bundle's folder, converted from a checkpoint if it does not exist yet.</summary>
    internal static string GetBundle(string checkpoint, string bundle)
    {
        if (Directory.Exists(bundle))
            return bundle;
        try
        {
            T5Converter.Convert(checkpoint, bundle);
        }
        catch (IOException) when (Directory.Exists(bundle))
        {
            // Another sample, started at the same time, was quicker; a bundle appears whole or not at all.
        }

        return bundle;
    }
}
