using System.ComponentModel;
using System.Diagnostics;

namespace Microsoft.ML.EarlyExit.Conversion.Tests;

/// <summary>A small disk of its own, in memory; only Linux and its root have one.</summary>
internal sealed class TemporaryMount : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly bool _isMounted;

    public TemporaryMount(long bytes)
    {
        if (OperatingSystem.IsLinux() && Environment.IsPrivilegedProcess)
            _isMounted = Run("mount", "-t", "tmpfs", "-o", $"size={bytes}", "early-exit-tests", Path);
        if (_isMounted)
            return;
        _folder.Dispose();
        Assert.Skip("A disk to fill up needs Linux, its root and the right to mount.");
    }

    public string Path => _folder.Path;

    public string File(string name) => _folder.File(name);

    public bool MakeReadOnly() => Run("mount", "-o", "remount,ro", Path);

    public void Dispose()
    {
        if (_isMounted)
            Assert.True(Run("umount", Path));
        _folder.Dispose();
    }

    private static bool Run(string program, params string[] arguments)
    {
        try
        {
            using Process process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardError = true })!;
            process.StandardError.ReadToEnd();
            process.WaitForExit();
            return process.ExitCode == 0;
        }
        catch (Win32Exception)
        {
            return false;
        }
    }
}
