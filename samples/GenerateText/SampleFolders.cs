namespace GenerateText;

/// <summary>Finds the folder with the demo checkpoint from wherever the sample is started.</summary>
internal static class SampleFolders
{
    public static string Find()
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
