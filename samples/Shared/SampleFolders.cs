namespace Samples;

/// <summary>The folders of the samples, found from wherever one is started.</summary>
internal static class SampleFolders
{
    private static readonly string s_samples = Find();

    /// <summary>The demo checkpoint, as Hugging Face would publish it.</summary>
    public static string Checkpoint => Path.Combine(s_samples, "t5-restaurants");

    /// <summary>A file or folder that a sample makes.</summary>
    public static string Artifact(string name) => Path.Combine(Directory.CreateDirectory(Path.Combine(s_samples, "artifacts")).FullName, name);

    private static string Find()
    {
        for (DirectoryInfo? folder = new(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            string samples = Path.Combine(folder.FullName, "samples");
            if (Directory.Exists(Path.Combine(samples, "t5-restaurants")))
                return samples;
        }

        throw new DirectoryNotFoundException("samples/t5-restaurants was not found above the program.");
    }
}
