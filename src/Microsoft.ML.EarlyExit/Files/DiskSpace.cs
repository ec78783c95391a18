namespace Microsoft.ML.EarlyExit.Files;

/// <summary>The room on the disk of a folder.</summary>
internal static class DiskSpace
{
    /// <summary>The bytes that are free for this user where a folder lies or would lie; null where the system does not tell.</summary>
    public static long? Available(string folder)
    {
        string path = Path.GetFullPath(folder);
        while (!Directory.Exists(path) && Path.GetDirectoryName(path) is { } above)
            path = above;
        try
        {
            return new DriveInfo(path).AvailableFreeSpace;
        }
        catch (ArgumentException)
        {
            // A network path on Windows has no drive to ask.
            return null;
        }
    }
}
