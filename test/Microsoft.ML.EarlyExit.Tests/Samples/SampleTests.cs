using System.Globalization;
using System.Text.RegularExpressions;
using Microsoft.ML.EarlyExit.Exit;
using Microsoft.ML.EarlyExit.Files;
using Microsoft.ML.EarlyExit.Scoring;
using Samples;

namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>The samples, run as their readers run them; one at a time, for each wants all processors.</summary>
[Collection("Samples")]
public sealed class SampleTests
{
    private const string Description = "describe: name[Blue Spice], eatType[coffee shop], area[city centre]";
    private const string Question = "question: Is it family friendly? context: The Wrestlers is an average family friendly place.";

    [Fact]
    public async Task The_first_sample_generates_saves_and_loads()
    {
        string output = await Run("GenerateText");
        Assert.Contains("loaded again: the same texts", output, StringComparison.Ordinal);
        Assert.Contains("Burger King", output, StringComparison.Ordinal);
        Assert.Equal(5, Regex.Count(output, @"^  early exit +[0-9.]+ ms, [0-9]+ tokens, mean exit [0-9.]+ of 12 layers\r?$", RegexOptions.Multiline));
        Assert.Equal(5, Regex.Count(output, @"^  full depth +[0-9.]+ ms, [0-9]+ tokens\r?$", RegexOptions.Multiline));
        Assert.Matches(@"All texts: [0-9]+ ms with early exit, [0-9]+ ms at full depth", output);
    }

    [Fact]
    public async Task Samples_started_at_the_same_time_share_one_bundle()
    {
        using var folder = new TemporaryFolder(Path.GetTempPath());
        string bundle = Path.Combine(folder.Path, "bundle");
        using var start = new Barrier(4);
        await Task.WhenAll(Enumerable.Range(0, start.ParticipantCount).Select(_ => Task.Factory.StartNew(
            () =>
            {
                start.SignalAndWait(TestContext.Current.CancellationToken);
                using EarlyExitModel model = EarlyExitModel.Load(DemoModel.GetBundle(TestModels.Checkpoint(TestModels.Exits), bundle));
            },
            TestContext.Current.CancellationToken, TaskCreationOptions.LongRunning, TaskScheduler.Default)));
        Assert.Equal([bundle], Directory.GetFileSystemEntries(folder.Path));
    }

    [Fact]
    public async Task A_trainer_learns_from_generated_text()
    {
        string output = await Run("ComposePipeline");
        Match accuracy = Regex.Match(output, @"accuracy on 36 .*: ([0-9.]+)");
        Assert.True(accuracy.Success, output);

        // One of six foods by chance is 0.17; the model leaves the food out of some descriptions.
        Assert.InRange(double.Parse(accuracy.Groups[1].Value, CultureInfo.InvariantCulture), 0.75, 1);
        string description = Value(output, "Description:");
        Assert.Equal(SampleProgram.Expected("describe: name[The Eagle], eatType[coffee shop], food[Indian], near[Burger King]"), description);
        Assert.Equal("Indian", Value(output, "Food:"));
    }

    [Fact]
    public async Task Two_processes_generate_the_same_from_one_saved_pipeline()
    {
        string output = await Run("SaveAndLoad");
        Assert.EndsWith("The same texts.", output.TrimEnd(), StringComparison.Ordinal);
        Assert.Equal(2, Lines(output).Count(line => line.Trim() == SampleProgram.Expected(Description)));
        Assert.Equal(2, Lines(output).Count(line => line.Trim() == "Burger King"));
    }

    [Fact]
    public async Task Streamed_text_is_coloured_and_equals_the_text_in_one_piece()
    {
        (int exitCode, string output) = await SampleProgram.Run("StreamTokens", [Description, Question], ("FORCE_COLOR", "1"));
        Assert.True(exitCode == 0, output);

        // A layer early on and the last one.
        Assert.Contains("\e[38;5;118m", output, StringComparison.Ordinal);
        Assert.Contains("\e[38;5;196m", output, StringComparison.Ordinal);
        string[] lines = Lines(Regex.Replace(output, "\e\\[[0-9;]*m", ""));
        Assert.Equal(
            [Description, SampleProgram.Expected(Description), Question, SampleProgram.Expected(Question)],
            lines.Where((_, at) => at % 3 < 2).Select(line => line.Trim()));
        GenerationResult expected = TestModels.Model(TestModels.Demo).Generate(Description, SampleProgram.Options);
        string mean = expected.ExitLayers.Average().ToString("F1", CultureInfo.InvariantCulture);
        Assert.Equal($"{expected.TokenIds.Count} tokens, mean exit {mean} of 12 layers, ended by EndOfSequence", lines[2].Trim());
    }

    [Fact]
    public async Task Control_c_ends_a_stream()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "Sends SIGINT with kill.");
        Assert.SkipWhen(IsInterruptIgnored(), "Processes started from here ignore SIGINT.");

        // So many texts that the signal comes long before the end.
        using SampleProgram program = SampleProgram.Start("StreamTokens", Enumerable.Repeat(Description, 1000));
        using CancellationTokenSource patience = SampleProgram.Patience();
        Assert.Equal(Description, await program.Output.ReadLineAsync(patience.Token));
        await program.Signal("INT");
        string rest = await program.Output.ReadToEndAsync(patience.Token);
        await program.WaitForExit();
        Assert.Equal(130, program.ExitCode);
        Assert.EndsWith("cancelled", rest.TrimEnd(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Generated_ids_decode_to_the_text()
    {
        string output = await Run("TokenIds");
        string[] texts = [Description, Question];
        Assert.Equal(texts.Select(SampleProgram.Expected), Values(output, "text"));
        GenerationResult[] expected = [.. texts.Select(text => TestModels.Model(TestModels.Demo).Generate(text, SampleProgram.Options))];
        Assert.Equal(expected.Select(result => string.Join(' ', result.TokenIds)), Values(output, "ids"));
        Assert.Equal(expected.Select(result => string.Join(' ', result.ExitLayers)), Values(output, "layers"));
        Assert.Equal(expected.Select(result => result.TokenIds.Count), Values(output, "confidences").Select(row => row.Split(' ').Length));
        Assert.Equal(expected.Select(result => result.StopReason.ToString()), Values(output, "ended by"));
    }

    [Fact]
    public async Task Every_layer_says_the_same_in_the_library_and_in_ML_NETs_own_transform()
    {
        string output = await Run("ScoreLayers");
        Match places = Regex.Match(output, @"says the same at (?<same>[0-9]+) of (?<all>[0-9]+) places");
        Assert.True(places.Success, output);
        Assert.Equal(places.Groups["all"].Value, places.Groups["same"].Value);

        const string Target = "Blue Spice is a coffee shop in the city centre.";
        EarlyExitModel model = TestModels.Model(TestModels.Demo);
        T5Tokenizer tokenizer = model.Tokenizer!;
        using var scorer = new LayerScorer(model, null);
        IReadOnlyList<LayerScore> scores = scorer.Score(tokenizer.Encode(Description), [.. tokenizer.Encode(Target)]);
        Assert.Equal(
            scores.Select(score => tokenizer.Decode([.. score.ArgMax])),
            Values(output, "layer").Select(line => line[(line.IndexOf(':') + 1)..].Trim()));
    }

    [Fact]
    public async Task A_trained_classifier_lets_tokens_leave_and_is_saved_as_it_was_tried()
    {
        string output = await Run("TrainExitClassifier");
        string[] rows = [.. Lines(output).Skip(1).TakeWhile(line => line.Length > 0)];
        Assert.Equal(Enumerable.Range(6, 6), rows.Select(row => (int)Numbers(row)[0]));
        Assert.All(rows, row => Assert.InRange(Numbers(row)[1], 0.7, 1));
        Assert.All(rows, row => Assert.InRange(Numbers(row)[2], 0.85, 1));

        Match summary = Regex.Match(output, @"Mean exit (?<mean>[0-9.]+) of 12 layers; (?<equal>[0-9]+) of 36 outputs");
        Assert.True(summary.Success, output);
        Assert.InRange(Number(summary.Groups["mean"].Value), 6.01, 9);
        Assert.InRange(Number(summary.Groups["equal"].Value), 12, 36);

        EarlyExitModel model = TestModels.Model(TestModels.Demo);
        ExitPolicy saved = ExitPolicyJson.Parse(File.ReadAllText(Value(output, "Saved for early-exit generate --policy:")), "policy");
        string prompt = $"describe: {Lines(output)[rows.Length + 2]}";
        Assert.Equal(model.Generate(prompt, new TextGenerationOptions { Exit = saved }).Text, Value(output, "  early exit"));
        Assert.Equal(model.Generate(prompt).Text, Value(output, "  full depth"));

        static double Number(string text) => double.Parse(text, CultureInfo.InvariantCulture);

        static double[] Numbers(string row) => [.. row.Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(Number)];
    }

    [Fact]
    public async Task Texts_are_evaluated_against_references_and_full_depth()
    {
        string output = await Run("EvaluateText");

        Match quality = Regex.Match(output, @"ROUGE-L (?<mean>[0-9.]+) \((?<lower>[0-9.]+) to (?<upper>[0-9.]+)\), BLEU [0-9.]+ over 36 rows\.");
        Assert.True(quality.Success, output);
        double[] numbers = [.. ((string[])["lower", "mean", "upper"]).Select(name => double.Parse(quality.Groups[name].Value, CultureInfo.InvariantCulture))];
        Assert.Equal(numbers.Order(), numbers);
        Assert.InRange(numbers[1], 0.4, 0.7);
        Assert.Matches("[1-9][0-9]* % of the texts are the full model's", output);
        Assert.Contains("early exit  Blue Spice is", output);
    }

    [Fact]
    public async Task A_calibrated_threshold_comes_back_with_its_certificate()
    {
        string output = await Run("CalibrateExit");

        Assert.StartsWith("With probability at least 0.95 over the draw of the 100 calibration prompts, the expected tokenF1 loss", output);
        Assert.Single(Lines(output), line => line.EndsWith(" chosen", StringComparison.Ordinal));
        Assert.Contains("20 later prompts lose", output);
        Assert.Contains("drift is not found", output);
        string prompt = Lines(output).First(line => line.StartsWith("question: ", StringComparison.Ordinal));
        string answer = Lines(output).First(line => line.StartsWith("→ ", StringComparison.Ordinal))[2..];
        Assert.Equal(TestModels.Model(TestModels.Demo).Generate(prompt).Text, answer);
    }

    private static async Task<string> Run(string name)
    {
        (int exitCode, string output) = await SampleProgram.Run(name, []);
        Assert.True(exitCode == 0, output);
        return output;
    }

    private static string[] Lines(string output) => output.TrimEnd().ReplaceLineEndings("\n").Split('\n');

    private static string Value(string output, string name) => Assert.Single(Values(output, name));

    private static IEnumerable<string> Values(string output, string name) =>
        Lines(output).Where(line => line.StartsWith(name, StringComparison.Ordinal)).Select(line => line[name.Length..].Trim());

    /// <summary>A shell's background jobs ignore SIGINT, and so do their children.</summary>
    private static bool IsInterruptIgnored()
    {
        string? mask = File.ReadLines("/proc/self/status").FirstOrDefault(line => line.StartsWith("SigIgn:", StringComparison.Ordinal));
        return mask is not null && (ulong.Parse(mask.AsSpan(7).Trim(), NumberStyles.HexNumber, CultureInfo.InvariantCulture) & 2) != 0;
    }
}
