using Microsoft.ML.EarlyExit.Conversion;

namespace Microsoft.ML.EarlyExit.Benchmarks;

/// <summary>Bundles to measure, made on first use and kept in the temporary folder.</summary>
internal static class BenchmarkModels
{
    public const string Demo = "demo";
    public const string Large = "large";

    /// <summary>The demo model at T5-large's cost.</summary>
    public const string Wide = "wide";

    public static EarlyExitModel Load(string name, EarlyExitModelOptions? options = null)
    {
        string folder = Path.Combine(Path.GetTempPath(), "early-exit-benchmarks");
        string bundle = Path.Combine(folder, name + ".bundle");
        if (!Directory.Exists(bundle))
        {
            string source = Path.Combine(Repository.Folder, "samples", "t5-restaurants");
            if (name != Demo)
            {
                string made = Path.Combine(folder, name);
                Console.WriteLine($"// Making the checkpoint {made}");
                if (name == Wide)
                    WideT5.Make(source, made);
                else
                    RandomT5.Make(name, made);
                source = made;
            }

            T5Converter.Convert(source, bundle);
            if (name != Demo)
                Directory.Delete(source, recursive: true);
        }

        return EarlyExitModel.Load(bundle, options);
    }
}
