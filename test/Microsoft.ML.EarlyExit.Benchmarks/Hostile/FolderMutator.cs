using System.Runtime.InteropServices;

namespace Microsoft.ML.EarlyExit.Benchmarks;

/// <summary>Puts something else in a file's place.</summary>
internal static partial class FolderMutator
{
    /// <summary>Replaces a file, or adds one.</summary>
    /// <param name="folder">The folder.</param>
    /// <param name="random">Decides what.</param>
    /// <param name="hasPipes">Whether a pipe or a device may be put in a file's place: not where those are read, since a user named them.</param>
    /// <returns>What was done.</returns>
    public static string Mutate(string folder, HostileRandom random, bool hasPipes = true)
    {
        string[] files = [.. Directory.GetFiles(folder).Order(StringComparer.Ordinal)];
        if (files.Length == 0)
            return "nothing";
        string path = random.Pick(files);
        string name = Path.GetFileName(path);
        string other = random.Pick(files);
        // Rare, since a reader that waits for a writer costs the whole limit.
        if (hasPipes && random.Chance(15))
        {
            string device = random.Pick(["/dev/zero", "/dev/null", "/dev/tty", ""]);
            if (OperatingSystem.IsWindows())
                device = "nowhere";
            File.Delete(path);
            if (device.Length > 0)
            {
                File.CreateSymbolicLink(path, device);
                return $"{name} links to {device}";
            }

            string pipe = random.Chance(50) ? path : Path.Combine(Path.GetDirectoryName(folder)!, "pipe");
            File.Delete(pipe);
            MakePipe(pipe, 0x180);
            if (pipe != path)
                File.CreateSymbolicLink(path, pipe);
            return $"{name} is {(pipe == path ? "" : "a link to ")}a pipe";
        }

        switch (random.Next(10))
        {
            case 0:
                File.Delete(path);
                return $"{name} deleted";
            case 1:
                File.Delete(path);
                Directory.CreateDirectory(path);
                if (random.Chance(50))
                    File.WriteAllText(Path.Combine(path, "file"), "");
                return $"{name} is a folder";
            case 2:
                File.Delete(path);
                File.CreateSymbolicLink(path, random.Pick([name, "nowhere", ".", "/", other]));
                return $"{name} is a link to {new FileInfo(path).LinkTarget}";
            case 3 or 4:
                // Outside, as caches keep what a folder only links to: sound.
                string kept = Path.Combine(Path.GetDirectoryName(folder)!, $"kept-{name}");
                File.Move(path, kept, overwrite: true);
                File.CreateSymbolicLink(path, kept);
                return $"{name} is a link to itself elsewhere";
            case 5:
                (byte[] one, byte[] two) = (File.ReadAllBytes(path), File.ReadAllBytes(other));
                File.WriteAllBytes(path, two);
                File.WriteAllBytes(other, one);
                return $"{name} and {Path.GetFileName(other)} swapped";
            case 6:
                File.WriteAllBytes(path, []);
                return $"{name} empty";
            case 7:
                string added = random.Pick([".DS_Store", "notes.txt", "model.onnx", "config.json.bak", "CON", "a b", "ü"]);
                File.WriteAllText(Path.Combine(folder, added), "more");
                return $"{added} added";
            case 8:
                File.Move(path, Path.Combine(folder, random.Chance(50) ? name.ToUpperInvariant() : name + ".txt"));
                return $"{name} renamed";
            default:
                File.WriteAllBytes(path, ByteMutator.Mutate(File.ReadAllBytes(path), random));
                return $"{name} with other bytes";
        }
    }

    [LibraryImport("libc", EntryPoint = "mkfifo", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int MakePipe(string path, uint mode);
}
