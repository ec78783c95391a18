namespace Microsoft.ML.EarlyExit.Testing;

/// <summary>Files of the repository, found from where the tests run.</summary>
internal static class Repository
{
    public static string Folder { get; } = Find();

    public static string Fixture(string name) => Path.Combine(Folder, "test", "fixtures", name);

    private static string Find()
    {
        for (DirectoryInfo? folder = new(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            if (File.Exists(Path.Combine(folder.FullName, "Microsoft.ML.EarlyExit.sln")))
            {
                return folder.FullName;
            }
        }

        throw new DirectoryNotFoundException($"No folder above '{AppContext.BaseDirectory}' holds Microsoft.ML.EarlyExit.sln.");
    }
}
