using System.Runtime.InteropServices;
using System.Text;

namespace Microsoft.ML.EarlyExit.Tool.Output;

/// <summary>Standard output, on which every text is written at once. <see cref="Console.Out"/> says nothing of a reader that has left, so that a program would
/// go on for nobody.</summary>
/// <param name="isOpen">Whether the process has one.</param>
internal sealed class StandardOutput(bool isOpen) : TextWriter
{
    public const int Descriptor = 1;

    private const int Interrupted = 4;
    private const int BrokenPipe = 32;

    private readonly Stream? _console = OperatingSystem.IsWindows() ? Console.OpenStandardOutput() : null;

    public override Encoding Encoding { get; } = new UTF8Encoding(encoderShouldEmitUTF8Identifier: false);

    // As the platforms number them.
    private static int TryAgain => OperatingSystem.IsLinux() ? 11 : 35;

    private static int ConnectionReset => OperatingSystem.IsLinux() ? 104 : 54;

    public override void Write(char value) => Write([value], 0, 1);

    public override void Write(string? value) => Write(Encoding.GetBytes(value ?? ""));

    public override void Write(char[] buffer, int index, int count) => Write(Encoding.GetBytes(buffer, index, count));

    public override void WriteLine(string? value) => Write($"{value}{NewLine}");

    /// <exception cref="ReaderLeftException">Nobody reads any more.</exception>
    /// <exception cref="IOException">It cannot be written.</exception>
    private void Write(byte[] bytes)
    {
        if (_console is not null)
        {
            _console.Write(bytes);
            return;
        }

        if (!isOpen)
            throw new IOException("Standard output cannot be written: it is closed.");
        for (int start = 0; start < bytes.Length;)
        {
            nint written = WriteSome(Descriptor, ref bytes[start], bytes.Length - start);
            if (written >= 0)
            {
                start += (int)written;
                continue;
            }

            int error = Marshal.GetLastPInvokeError();
            if (error == BrokenPipe || error == ConnectionReset)
                throw new ReaderLeftException();
            // A pipe may have been made so that writers do not wait for its reader.
            if (error == TryAgain)
                Thread.Sleep(1);
            else if (error != Interrupted)
                throw new IOException($"Standard output cannot be written: {Marshal.GetPInvokeErrorMessage(error)}.");
        }
    }

    [DllImport("libc", EntryPoint = "write", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern nint WriteSome(int descriptor, ref byte bytes, nint count);
}
