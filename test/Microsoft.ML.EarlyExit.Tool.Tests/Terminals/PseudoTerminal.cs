using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Text;
using Microsoft.Win32.SafeHandles;

namespace Microsoft.ML.EarlyExit.Tool.Tests;

/// <summary>The tool on a terminal of its own, which is its standard input, output and error, and sends it Ctrl+C.</summary>
internal sealed class PseudoTerminal : IDisposable
{
    private const int ReadWrite = 2;
    private const int NoControllingTerminal = 0x100;
    private static readonly TimeSpan s_patience = TimeSpan.FromMinutes(2);

    private readonly FileStream _master;
    private readonly Process _process;
    private readonly Thread _reader;
    private readonly StringBuilder _seen = new();
    private int _looked;

    private PseudoTerminal(IReadOnlyDictionary<string, string> environment, string[] arguments)
    {
        int descriptor = posix_openpt(ReadWrite | NoControllingTerminal);
        Assert.True(descriptor >= 0 && grantpt(descriptor) == 0 && unlockpt(descriptor) == 0, "No terminal can be opened.");
        _master = new FileStream(new SafeFileHandle(descriptor, ownsHandle: true), FileAccess.ReadWrite, bufferSize: 0);
        string slave = Marshal.PtrToStringUTF8(ptsname(descriptor))!;

        // The first terminal that the leader of a session opens is the session's.
        var start = new ProcessStartInfo(
            "setsid", ["sh", "-c", """exec "$@" <"$0" >"$0" 2>&1""", slave, "dotnet", typeof(EarlyExitTool).Assembly.Location, .. arguments]);
        start.Environment["TERM"] = "xterm-256color";
        start.Environment.Remove("NO_COLOR");
        foreach ((string name, string value) in environment)
            start.Environment[name] = value;
        _process = Process.Start(start)!;
        _reader = new Thread(Read) { IsBackground = true };
        _reader.Start();
    }

    /// <summary>Everything that was shown so far.</summary>
    public string Seen
    {
        get
        {
            lock (_seen)
                return _seen.ToString();
        }
    }

    /// <summary>Starts the tool; skips the test where there are no such terminals.</summary>
    public static PseudoTerminal Start(params string[] arguments) => Start(new Dictionary<string, string>(), arguments);

    /// <inheritdoc cref="Start(string[])"/>
    public static PseudoTerminal Start(IReadOnlyDictionary<string, string> environment, params string[] arguments)
    {
        Assert.SkipUnless(OperatingSystem.IsLinux() && (File.Exists("/usr/bin/setsid") || File.Exists("/bin/setsid")), "Opens a terminal as Linux does.");
        return new PseudoTerminal(environment, arguments);
    }

    /// <summary>Types on the terminal.</summary>
    public void Type(string keys) => _master.Write(Encoding.UTF8.GetBytes(keys));

    /// <summary>Waits until a text is shown, after what was awaited before.</summary>
    public void Await(string text)
    {
        var watch = Stopwatch.StartNew();
        while (watch.Elapsed < s_patience)
        {
            string seen = Seen;
            int at = seen.IndexOf(text, _looked, StringComparison.Ordinal);
            if (at >= 0)
            {
                _looked = at + text.Length;
                return;
            }

            Assert.False(!_reader.IsAlive && seen.Length == Seen.Length, $"It ended without '{text}': {seen[_looked..]}");
            Thread.Sleep(20);
        }

        Assert.Fail($"'{text}' was not shown: {Seen[_looked..]}");
    }

    /// <summary>Waits for the tool's end.</summary>
    /// <returns>Its exit code.</returns>
    public int AwaitExit()
    {
        Assert.True(_process.WaitForExit(s_patience), $"It does not end: {Seen}");
        _reader.Join(s_patience);
        return _process.ExitCode;
    }

    public void Dispose()
    {
        if (!_process.HasExited)
            _process.Kill();
        _process.Dispose();
        _reader.Join(s_patience);
        _master.Dispose();
    }

    private void Read()
    {
        Decoder decoder = Encoding.UTF8.GetDecoder();
        byte[] bytes = new byte[4096];
        char[] characters = new char[4096];
        try
        {
            for (int count; (count = _master.Read(bytes)) > 0;)
            {
                int length = decoder.GetChars(bytes, 0, count, characters, 0);
                lock (_seen)
                    _seen.Append(characters, 0, length);
            }
        }
        catch (IOException)
        {
            // The last process that had the terminal has closed it.
        }
    }

#pragma warning disable IDE1006, SA1300 // The names of the C library.
    [DllImport("libc")]
    private static extern int posix_openpt(int flags);

    [DllImport("libc")]
    private static extern int grantpt(int descriptor);

    [DllImport("libc")]
    private static extern int unlockpt(int descriptor);

    [DllImport("libc")]
    private static extern nint ptsname(int descriptor);
#pragma warning restore IDE1006, SA1300
}
