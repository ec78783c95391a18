using System.Runtime.InteropServices;
using System.Text;

namespace Microsoft.ML.EarlyExit.Tool.Output;

/// <summary>The process's own streams, in whatever state it was started with them.</summary>
internal static class StandardStreams
{
    private const int InputDescriptor = 0;
    private const int ErrorDescriptor = 2;
    private const int GetDescriptorFlags = 1;
    private const int CloseOnExec = 1;

    /// <summary>Standard output.</summary>
    public static TextWriter OpenOutput() => new StandardOutput(isOpen: IsOpen(StandardOutput.Descriptor));

    /// <summary>Standard error, which never fails.</summary>
    public static TextWriter OpenError()
    {
        if (!IsOpen(ErrorDescriptor))
            return TextWriter.Null;
        try
        {
            return new LenientWriter(
                new StreamWriter(Console.OpenStandardError(), new UTF8Encoding(encoderShouldEmitUTF8Identifier: false)) { AutoFlush = true });
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return TextWriter.Null;
        }
    }

    /// <summary>Standard input, whose reader can be cancelled. Reading one that the process was started without fails.</summary>
    public static Stream OpenInput(CancellationToken cancellation)
    {
        bool isOpen = IsOpen(InputDescriptor);
        return new InterruptibleStream(
            () => isOpen ? Console.OpenStandardInput() : throw new IOException("Standard input cannot be read: it is closed."), cancellation);
    }

    /// <summary>
    /// Whether the process was started with a descriptor. One that was closed then is by now something of the runtime's, a pipe for instance, into which
    /// nothing must be written and out of which nothing ever comes; what is inherited is never closed on exec.
    /// </summary>
    private static bool IsOpen(int descriptor) =>
        OperatingSystem.IsWindows() || (GetFlags(descriptor, GetDescriptorFlags) is >= 0 and var flags && (flags & CloseOnExec) == 0);

    [DllImport("libc", EntryPoint = "fcntl")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int GetFlags(int descriptor, int command);
}
