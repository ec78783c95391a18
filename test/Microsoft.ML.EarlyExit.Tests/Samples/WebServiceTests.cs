using System.Net;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json;

namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>The web service, asked over HTTP.</summary>
[Collection("Samples")]
public sealed class WebServiceTests(RunningWebService service) : IClassFixture<RunningWebService>
{
    private const string Description = "describe: name[Aromi], eatType[pub], food[Indian], near[Crowne Plaza Hotel]";
    private const string Question = "question: Is it family friendly? context: The Wrestlers is an average family friendly place.";

    private static CancellationToken CancellationToken => TestContext.Current.CancellationToken;

    public static TheoryData<string> BadBodies =>
        ["", "x", "{}", """{"text":null}""", """{"text":" "}""", """{"text":["a"]}""", $$"""{"text":"{{new string('a', 2001)}}"}"""];

    [Fact]
    public async Task A_running_service_is_healthy() => Assert.Equal("Healthy", await service.Client.GetStringAsync("/health", CancellationToken));

    [Fact]
    public async Task Text_comes_in_one_piece()
    {
        JsonElement answer = await Generate(Description);
        GenerationResult expected = TestModels.Model(TestModels.Demo).Generate(Description, SampleProgram.Options);
        Assert.Equal(expected.Text, answer.GetProperty("text").GetString());
        Assert.Equal(expected.TokenIds.Count, answer.GetProperty("tokens").GetInt32());
        Assert.Equal(expected.ExitLayers.Average(), answer.GetProperty("meanExitLayer").GetDouble(), 6);
        Assert.Equal("EndOfSequence", answer.GetProperty("stopReason").GetString());
    }

    [Fact]
    public async Task Text_comes_token_by_token()
    {
        GenerationResult expected = TestModels.Model(TestModels.Demo).Generate(Description, SampleProgram.Options);
        JsonElement[] events = await ReadStream(Description);
        Assert.Equal(expected.Text, string.Concat(events.Select(token => token.GetProperty("text").GetString())));
        Assert.Equal(expected.ExitLayers, events.Select(token => token.GetProperty("exitLayer").GetInt32()));
        Assert.All(events, token => Assert.InRange(token.GetProperty("confidence").GetDouble(), 0, 1));
        Assert.All(events[..^1], token => Assert.Equal(JsonValueKind.Null, token.GetProperty("stopReason").ValueKind));
        Assert.Equal("EndOfSequence", events[^1].GetProperty("stopReason").GetString());
    }

    [Fact]
    public async Task Many_requests_at_once_each_get_their_own_text()
    {
        string[] foods = ["English", "French", "Indian"];
        string[] texts = [.. Enumerable.Range(0, 9).Select(at => at % 2 == 0 ? Question : $"describe: name[Aromi], eatType[pub], food[{foods[at % 3]}]")];
        Task<string>[] answers = [.. texts.Select(async (text, at) => at % 3 == 0
            ? string.Concat((await ReadStream(text)).Select(token => token.GetProperty("text").GetString()))
            : (await Generate(text)).GetProperty("text").GetString()!)];
        Assert.Equal(texts.Select(SampleProgram.Expected), await Task.WhenAll(answers));
    }

    [Fact]
    public async Task Clients_that_leave_half_way_do_not_disturb_others()
    {
        // More of them than may generate at once: a place that is not given back would be missing.
        for (int client = 0; client < 6; client++)
            await ReadFirstLine(service);
        Assert.Equal(SampleProgram.Expected(Question), (await Generate(Question)).GetProperty("text").GetString());
        Assert.NotEmpty(await ReadStream(Question));
        Assert.False(service.Program.HasExited);
        Assert.DoesNotContain("fail:", service.Log, StringComparison.Ordinal);
    }

    [Theory]
    [MemberData(nameof(BadBodies))]
    public async Task A_bad_body_is_answered_with_a_problem(string body)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, "/generate") { Content = new StringContent(body, Encoding.UTF8, "application/json") };
        await CheckProblem(request);
    }

    [Theory]
    [InlineData("/stream")]
    [InlineData("/stream?text=")]
    [InlineData("/stream?text=%20")]
    public async Task A_stream_of_nothing_is_answered_with_a_problem(string path)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, path);
        await CheckProblem(request);
    }

    [Fact]
    public async Task A_service_told_to_stop_ends_its_streams_and_leaves_nothing_behind()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "Sends SIGTERM with kill.");
        await using var stopped = new RunningWebService();
        await stopped.InitializeAsync();
        Assert.Single(Directory.GetDirectories(stopped.TemporaryFolder, "early-exit-*"));
        using HttpResponseMessage response = await stopped.Client.GetAsync(StreamOf(Description), HttpCompletionOption.ResponseHeadersRead, CancellationToken);
        using StreamReader stream = new(await response.Content.ReadAsStreamAsync(CancellationToken));
        Assert.Equal("event: token", await stream.ReadLineAsync(CancellationToken));
        await stopped.Program.Signal("TERM");
        await stream.ReadToEndAsync(CancellationToken);
        await stopped.Program.WaitForExit();
        Assert.Equal(0, stopped.Program.ExitCode);
        Assert.Empty(Directory.GetDirectories(stopped.TemporaryFolder, "early-exit-*"));
        Assert.DoesNotContain("fail:", stopped.Log, StringComparison.Ordinal);
    }

    private static string StreamOf(string text) => $"/stream?text={Uri.EscapeDataString(text)}";

    private static async Task ReadFirstLine(RunningWebService service)
    {
        using HttpResponseMessage response = await service.Client.GetAsync(StreamOf(Description), HttpCompletionOption.ResponseHeadersRead, CancellationToken);
        using StreamReader stream = new(await response.Content.ReadAsStreamAsync(CancellationToken));
        Assert.Equal("event: token", await stream.ReadLineAsync(CancellationToken));
    }

    private async Task<JsonElement> Generate(string text)
    {
        using HttpResponseMessage response = await service.Client.PostAsJsonAsync("/generate", new { text }, CancellationToken);
        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        return await response.Content.ReadFromJsonAsync<JsonElement>(CancellationToken);
    }

    private async Task<JsonElement[]> ReadStream(string text)
    {
        using HttpResponseMessage response = await service.Client.GetAsync(StreamOf(text), CancellationToken);
        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        Assert.Equal("text/event-stream", response.Content.Headers.ContentType?.MediaType);
        string body = await response.Content.ReadAsStringAsync(CancellationToken);
        const string Data = "data: ";
        return [.. body.Split('\n').Where(line => line.StartsWith(Data, StringComparison.Ordinal)).Select(line => JsonElement.Parse(line[Data.Length..]))];
    }

    private async Task CheckProblem(HttpRequestMessage request)
    {
        // ASP.NET gives up the connection of a body it could not read.
        request.Headers.ConnectionClose = true;
        using HttpResponseMessage response = await service.Client.SendAsync(request, CancellationToken);
        Assert.Equal(HttpStatusCode.BadRequest, response.StatusCode);
        Assert.Equal("application/problem+json", response.Content.Headers.ContentType?.MediaType);
        JsonElement problem = await response.Content.ReadFromJsonAsync<JsonElement>(CancellationToken);
        Assert.Equal(400, problem.GetProperty("status").GetInt32());
    }
}
