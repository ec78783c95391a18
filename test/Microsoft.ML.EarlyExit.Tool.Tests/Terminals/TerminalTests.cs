using System.Globalization;
using System.Text.RegularExpressions;

namespace Microsoft.ML.EarlyExit.Tool.Tests;

/// <summary>The tool as somebody sees it who sits at a terminal.</summary>
public sealed partial class TerminalTests(ConvertedModels models)
{
    private const string Text = "describe: name[The Waterman], eatType[pub]";

    [Fact]
    public void A_text_appears_in_the_colours_of_its_layers_and_ends_with_figures()
    {
        ToolResult rows = ToolRunner.Run("generate", models.Restaurants, "--text", Text, "--threshold", "0.5", "--minimum-layer", "2");
        using PseudoTerminal terminal = PseudoTerminal.Start("generate", models.Restaurants, "--text", Text, "--threshold", "0.5", "--minimum-layer", "2");
        Assert.Equal(0, terminal.AwaitExit());

        string seen = terminal.Seen;
        Assert.DoesNotContain("tokenIds", seen);
        string[] lines = Plain(seen).Split("\r\n");
        Assert.Equal(rows.Rows[0].GetProperty("text").GetString(), lines[0]);
        int[] layers = [.. rows.Rows[0].GetProperty("exitLayers").EnumerateArray().Select(layer => layer.GetInt32())];
        double share = 100.0 * layers.Sum() / (12 * layers.Length);
        Assert.Matches(
            string.Create(
                CultureInfo.InvariantCulture,
                $@"^{layers.Length} tokens, \d+\.\d tokens/s, mean exit layer {Regex.Escape($"{layers.Average():0.0}")} of 12: "
                + $@"{layers.Sum()} decoder blocks ran, {share:0} % of full depth's {12 * layers.Length}$"),
            lines[1]);

        // The first token has text, in the colour of its layer: 46 is layer 1's, 196 the last's.
        Assert.Matches(@"^\e\[38;5;(82|118|154|190|226|220|214|208|202|196)m", seen[seen.IndexOf("\e[38", StringComparison.Ordinal)..]);
    }

    [Theory]
    [InlineData("NO_COLOR", "1")]
    [InlineData("TERM", "dumb")]
    public void Colours_are_left_out_where_they_are_not_wanted(string variable, string value)
    {
        using PseudoTerminal terminal = PseudoTerminal.Start(
            new Dictionary<string, string> { [variable] = value }, "generate", models.Restaurants, "--text", Text);
        Assert.Equal(0, terminal.AwaitExit());
        Assert.DoesNotContain("\e[38", terminal.Seen);
        Assert.Contains("The Waterman", terminal.Seen);
        Assert.Contains("tokens/s", terminal.Seen);
    }

    [Fact]
    public void Json_is_written_on_a_terminal_where_it_is_asked_for()
    {
        using PseudoTerminal terminal = PseudoTerminal.Start("generate", models.Restaurants, "--text", Text, "--json");
        Assert.Equal(0, terminal.AwaitExit());
        Assert.Contains("\"tokenIds\":[", terminal.Seen);
        Assert.DoesNotContain("tokens/s", terminal.Seen);
    }

    [Fact]
    public void Control_c_leaves_what_was_shown_and_ends_with_130()
    {
        Assert.SkipWhen(ProcessTests.IsInterruptIgnored(), "Processes started from here ignore SIGINT.");
        using PseudoTerminal terminal = PseudoTerminal.Start(
            "generate", models.Restaurants, "--text", Text, "--min-new-tokens", "4000", "--max-new-tokens", "4000");
        terminal.Await("\e[38");
        terminal.Type("\u0003");
        Assert.Equal(130, terminal.AwaitExit());
        Assert.Contains("Cancelled.", terminal.Seen);
        Assert.DoesNotContain("tokens/s", terminal.Seen);
        Assert.Matches(@"\w(\^C)?\r\nCancelled\.\r\n$", Plain(terminal.Seen));
    }

    [Fact]
    public void A_prompt_line_answers_until_control_d()
    {
        using PseudoTerminal terminal = PseudoTerminal.Start("generate", models.Restaurants, "--prefix", "describe: ");
        terminal.Await("> ");
        terminal.Type("name[The Watermen], eatType[pub]");
        // Left over the rest of the line, and another letter.
        terminal.Type(string.Concat(Enumerable.Repeat("\e[D", "n], eatType[pub]".Length)) + "\u007fa\r");
        terminal.Await("Waterman");
        terminal.Await("tokens/s");
        terminal.Await("> ");
        // The line before, once more.
        terminal.Type("\e[A\r");
        terminal.Await("Waterman");
        terminal.Await("tokens/s");
        terminal.Await("> ");
        terminal.Type("\u0004");
        Assert.Equal(0, terminal.AwaitExit());
    }

    [Fact]
    public void A_terminal_that_cannot_move_its_cursor_has_a_plain_prompt()
    {
        using PseudoTerminal terminal = PseudoTerminal.Start(new Dictionary<string, string> { ["TERM"] = "dumb" }, "generate", models.Restaurants);
        terminal.Await("> ");
        terminal.Type($"{Text}\n");
        terminal.Await("tokens/s");
        terminal.Await("> ");
        terminal.Type("\u0004");
        Assert.Equal(0, terminal.AwaitExit());
        Assert.DoesNotContain("\e[", terminal.Seen);
    }

    [Fact]
    public void Control_c_ends_the_answer_and_a_second_one_the_prompt()
    {
        Assert.SkipWhen(ProcessTests.IsInterruptIgnored(), "Processes started from here ignore SIGINT.");
        using PseudoTerminal terminal = PseudoTerminal.Start("generate", models.Restaurants, "--min-new-tokens", "4000", "--max-new-tokens", "4000");
        terminal.Await("> ");
        terminal.Type("abc\u0003");
        terminal.Await("\r\n");
        terminal.Type("a\r");
        terminal.Await("\e[38");
        terminal.Type("\u0003");
        terminal.Await("Cancelled.");
        terminal.Await("> ");
        terminal.Type("\u0003");
        Assert.Equal(130, terminal.AwaitExit());
    }

    private static string Plain(string text) => Sequences().Replace(text, "");

    [GeneratedRegex(@"\e(\[[0-9;?]*[A-Za-z]|[=>])")]
    private static partial Regex Sequences();
}
