using System.Net;
using System.Text;
using Microsoft.ML.EarlyExit.Files;

namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>The web service, listening on a port of this machine that the system chose.</summary>
public sealed class RunningWebService : IAsyncLifetime
{
    private const string Listening = "Now listening on: ";

    private readonly StringBuilder _log = new();
    private readonly TemporaryFolder _temporary = new(Path.GetTempPath());
    private SampleProgram? _program;
    private Task? _reading;

    internal SampleProgram Program => _program!;

    public HttpClient Client { get; } = new();

    /// <summary>Where the service unpacks its model.</summary>
    public string TemporaryFolder => _temporary.Path;

    /// <summary>What the service has logged so far.</summary>
    public string Log
    {
        get
        {
            lock (_log)
                return _log.ToString();
        }
    }

    public async ValueTask InitializeAsync()
    {
        _program = SampleProgram.Start("WebService", ["--urls", "http://127.0.0.1:0"], ("TMPDIR", _temporary.Path), ("TMP", _temporary.Path));
        var address = new TaskCompletionSource<Uri>(TaskCreationOptions.RunContinuationsAsynchronously);
        _reading = Task.Run(async () =>
        {
            while (await _program.Output.ReadLineAsync() is { } line)
            {
                lock (_log)
                    _log.AppendLine(line);
                if (line.IndexOf(Listening, StringComparison.Ordinal) is >= 0 and int at)
                    address.TrySetResult(new Uri(line[(at + Listening.Length)..].Trim()));
            }

            address.TrySetException(new InvalidOperationException($"The service ended before it listened. {Log}"));
        });
        using CancellationTokenSource patience = SampleProgram.Patience();
        Client.BaseAddress = await address.Task.WaitAsync(patience.Token);
        Assert.Equal(IPAddress.Loopback.ToString(), Client.BaseAddress.Host);
    }

    public async ValueTask DisposeAsync()
    {
        Client.Dispose();
        _program?.Dispose();
        if (_reading is not null)
            await _reading;
        _temporary.Dispose();
    }
}
