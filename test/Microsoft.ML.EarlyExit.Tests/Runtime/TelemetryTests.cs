using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Microsoft.ML.EarlyExit.Files;

namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>
/// Processes in a home of their own, whose only way out is a proxy that this test listens for: it takes what ONNX Runtime would send, and answers nothing.
/// </summary>
public sealed class TelemetryTests
{
    // One of these switches telemetry off.
    private static readonly string[] s_automation =
    [
        "CI", "TF_BUILD", "GITHUB_ACTIONS", "GITLAB_CI", "APPVEYOR", "TRAVIS", "CIRCLECI", "JENKINS_URL", "BUILD_ID", "BUILD_NUMBER",
        "TEAMCITY_VERSION", "CODEBUILD_BUILD_ID",
    ];

    [Fact]
    public async Task Nothing_is_sent_home_unless_it_is_allowed()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "What is sent and kept on other systems is not known.");
        using var allowed = new Home("");
        using var byVariable = new Home("0");
        using var denied = new Home("");
        using var deniedByVariable = new Home("1");
        using RuntimeProcess silent = denied.Start("load");
        using RuntimeProcess silentByVariable = deniedByVariable.Start("report");
        using RuntimeProcess reporting = allowed.Start("report");
        using RuntimeProcess reportingByVariable = byVariable.Start("load");

        // That these files are made and this host is asked for shows that the others' absence says something.
        string request = await allowed.Request(TimeSpan.FromMinutes(2));
        Assert.StartsWith("CONNECT mobile.events.data.microsoft.com", request, StringComparison.Ordinal);
        Assert.NotEmpty(allowed.Files);
        Assert.NotEmpty(byVariable.Files);

        Assert.Empty(denied.Files);
        Assert.False(denied.HasRequest);
        Assert.Empty(deniedByVariable.Files);
        Assert.False(deniedByVariable.HasRequest);
        Assert.Equal(reporting.Ids, silent.Ids);
    }

    private sealed class Home : IDisposable
    {
        private readonly TemporaryFolder _folder = new(Path.GetTempPath());
        private readonly TcpListener _proxy = new(IPAddress.Loopback, 0);
        private readonly Dictionary<string, string> _environment;

        /// <param name="disables">The value of ORT_DISABLE_TELEMETRY; empty for none.</param>
        public Home(string disables)
        {
            _proxy.Start();
            string address = string.Create(CultureInfo.InvariantCulture, $"http://127.0.0.1:{((IPEndPoint)_proxy.LocalEndpoint).Port}");
            _environment = s_automation.ToDictionary(name => name, _ => "");
            _environment["ORT_DISABLE_TELEMETRY"] = disables;
            _environment["XDG_CACHE_HOME"] = "";
            foreach (string name in new[] { "HOME", "TMPDIR", "DOTNET_CLI_HOME" })
                _environment[name] = _folder.Path;
            foreach (string name in new[] { "http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY" })
                _environment[name] = address;
            _environment["no_proxy"] = "";
            _environment["NO_PROXY"] = "";
            // .NET's own sockets lie in the temporary folder.
            _environment["DOTNET_EnableDiagnostics"] = "0";
        }

        /// <summary>Whether the proxy was asked for anything.</summary>
        public bool HasRequest => _proxy.Pending();

        /// <summary>The files of ONNX Runtime that the process left.</summary>
        public IReadOnlyList<string> Files =>
            [.. Directory.GetFiles(_folder.Path, "*", SearchOption.AllDirectories)
                .Where(file => file.Contains("onnxruntime", StringComparison.OrdinalIgnoreCase)
                    || file.EndsWith(".ses", StringComparison.Ordinal))];

        public RuntimeProcess Start(string step) => new(_environment, step);

        /// <summary>The first line that the proxy is sent.</summary>
        public async Task<string> Request(TimeSpan most)
        {
            using var timeout = new CancellationTokenSource(most);
            using TcpClient client = await _proxy.AcceptTcpClientAsync(timeout.Token);
            using var reader = new StreamReader(client.GetStream());
            return await reader.ReadLineAsync(timeout.Token) ?? "";
        }

        public void Dispose()
        {
            _proxy.Stop();
            _folder.Dispose();
        }
    }
}
