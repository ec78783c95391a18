using System.Text.RegularExpressions;

namespace Microsoft.ML.EarlyExit.Reproduction;

/// <summary>A model as the command line names it: <c>[NAME=]BUNDLE</c>.</summary>
/// <param name="Name">Its name in the report; letters, digits, dots, dashes and underscores, since files are called by it.</param>
/// <param name="Path">The bundle's folder.</param>
internal sealed partial record ReproductionModel(string Name, string Path)
{
    private const string BundleEnd = ".bundle";

    /// <summary>The folder's own name.</summary>
    public string Folder => FolderName(Path);

    /// <summary>Reads an argument; without NAME a model goes by its folder's name.</summary>
    public static ReproductionModel Parse(string argument)
    {
        int equals = argument.IndexOf('=');
        if (equals > 0 && equals + 1 < argument.Length && Names().IsMatch(argument[..equals]))
            return new ReproductionModel(argument[..equals], argument[(equals + 1)..]);
        string folder = FolderName(argument);
        if (folder.Length > BundleEnd.Length && folder.EndsWith(BundleEnd, StringComparison.OrdinalIgnoreCase))
            folder = folder[..^BundleEnd.Length];
        string name = Others().Replace(folder, "-");
        return new ReproductionModel(Names().IsMatch(name) ? name : "model", argument);
    }

    private static string FolderName(string path) => System.IO.Path.GetFileName(System.IO.Path.TrimEndingDirectorySeparator(System.IO.Path.GetFullPath(path)));

    [GeneratedRegex(@"^[A-Za-z0-9][A-Za-z0-9._-]{0,59}\z")]
    private static partial Regex Names();

    [GeneratedRegex(@"[^A-Za-z0-9._-]")]
    private static partial Regex Others();
}
