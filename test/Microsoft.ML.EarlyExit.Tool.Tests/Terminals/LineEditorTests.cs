using Microsoft.ML.EarlyExit.Tool.Interaction;
using static Microsoft.ML.EarlyExit.Tool.Tests.ScriptedKeyboard;

namespace Microsoft.ML.EarlyExit.Tool.Tests;

public sealed class LineEditorTests
{
    private static readonly ConsoleKeyInfo s_enter = new('\r', ConsoleKey.Enter, false, false, false);

    public static TheoryData<string, ConsoleKey[], string, string> Edits { get; } = new()
    {
        { "abc", [ConsoleKey.LeftArrow, ConsoleKey.LeftArrow], "x", "axbc" },
        { "abc", [ConsoleKey.Home], "x", "xabc" },
        { "abc", [ConsoleKey.Home, ConsoleKey.RightArrow], "x", "axbc" },
        { "abc", [ConsoleKey.Home, ConsoleKey.End], "x", "abcx" },
        { "abc", [ConsoleKey.Backspace, ConsoleKey.Backspace], "x", "ax" },
        { "abc", [ConsoleKey.Home, ConsoleKey.Delete], "x", "xbc" },
        { "abc", [ConsoleKey.Delete, ConsoleKey.RightArrow, ConsoleKey.Home, ConsoleKey.Backspace, ConsoleKey.LeftArrow], "x", "xabc" },
        { "日本語", [ConsoleKey.LeftArrow, ConsoleKey.Backspace], "x", "日x語" },
        { "ae\u0301b", [ConsoleKey.LeftArrow, ConsoleKey.Backspace], "x", "axb" },
        { "a😀b", [ConsoleKey.LeftArrow, ConsoleKey.Backspace], "x", "axb" },
        {
            "",
            [ConsoleKey.Backspace, ConsoleKey.Delete, ConsoleKey.LeftArrow, ConsoleKey.RightArrow,
                ConsoleKey.UpArrow, ConsoleKey.DownArrow, ConsoleKey.F5, ConsoleKey.Escape],
            "x", "x"
        },
    };

    [Theory]
    [MemberData(nameof(Edits))]
    public void Keys_edit_the_line(string text, ConsoleKey[] keys, string then, string expected)
    {
        (TypedLine line, Screen screen) = Read(80, [.. Text(text), .. keys.Select(Key), .. Text(then), s_enter]);
        Assert.Equal(new TypedLine(expected, LineEnd.Entered), line);
        Assert.Equal($"> {expected}", screen.Line);
    }

    [Fact]
    public void Control_keys_are_those_of_shells()
    {
        Assert.Equal("xone two", Typed(Control(ConsoleKey.A), 'x'));
        Assert.Equal("one twox", Typed(Control(ConsoleKey.A), Control(ConsoleKey.E), 'x'));
        Assert.Equal("one x", Typed(Control(ConsoleKey.W), 'x'));
        Assert.Equal("x", Typed(Control(ConsoleKey.U), 'x'));
        Assert.Equal("x", Typed(Control(ConsoleKey.A), Control(ConsoleKey.K), 'x'));
        Assert.Equal("xne two", Typed(Control(ConsoleKey.A), Control(ConsoleKey.D), 'x'));

        static string Typed(params object[] keys) =>
            Read(80, [.. Text("one two"), .. keys.SelectMany(key => key is char character ? Text($"{character}") : [(ConsoleKeyInfo)key]), s_enter]).Line.Text;
    }

    [Fact]
    public void Control_c_and_control_d_end_the_line()
    {
        Assert.Equal(new TypedLine("abc", LineEnd.Interrupted), Read(80, [.. Text("abc"), Control(ConsoleKey.C)]).Line);
        Assert.Equal(new TypedLine("", LineEnd.Closed), Read(80, [Control(ConsoleKey.D)]).Line);
    }

    [Fact]
    public void Arrows_recall_what_was_entered_and_what_was_not_yet()
    {
        var keyboard = new ScriptedKeyboard(
            80,
            [
                .. Text("first"), s_enter, .. Text("second"), s_enter, .. Text("second"), s_enter, .. Text(" "), s_enter,
                Key(ConsoleKey.UpArrow), Key(ConsoleKey.UpArrow), Key(ConsoleKey.UpArrow), .. Text("!"), s_enter,
                .. Text("new"), Key(ConsoleKey.UpArrow), Key(ConsoleKey.UpArrow),
                Key(ConsoleKey.DownArrow), Key(ConsoleKey.DownArrow), Key(ConsoleKey.DownArrow), .. Text("er"), s_enter,
            ]);
        var editor = new LineEditor(keyboard, TextWriter.Null, "> ");
        string[] lines = [.. Enumerable.Range(0, 6).Select(_ => editor.Read().Text)];
        Assert.Equal(["first", "second", "second", " ", "first!", "newer"], lines);
        Assert.False(keyboard.IsReading);
    }

    [Fact]
    public void A_long_line_moves_under_the_cursor_and_never_wraps()
    {
        string text = string.Concat(Enumerable.Range(0, 60).Select(index => index % 3 == 0 ? "語" : index % 3 == 1 ? "e\u0301" : "x"));
        (TypedLine line, Screen screen) = Read(20, [.. Text(text), Key(ConsoleKey.LeftArrow), Key(ConsoleKey.LeftArrow)], s_enter);
        Assert.Equal(text, line.Text);
        Assert.True(screen.Widest < 20, $"It reaches column {screen.Widest}.");
        Assert.EndsWith("x", screen.Line);

        // Two characters of one column before the end.
        Assert.Equal(2 + Width(screen.Line[2..]) - 2, screen.Cursor);

        (_, Screen start) = Read(20, [.. Text(text), Key(ConsoleKey.Home)], s_enter);
        Assert.StartsWith("> 語e\u0301x語", start.Line);
        Assert.Equal(2, start.Cursor);

        static int Width(string shown) => shown.EnumerateRunes().Sum(rune => rune.Value is 0x0301 ? 0 : rune.Value > 0x3000 ? 2 : 1);
    }

    /// <summary>Reads a line; the screen is as the last key before the end left it.</summary>
    private static (TypedLine Line, Screen Screen) Read(int columns, params IEnumerable<ConsoleKeyInfo> keys)
    {
        var output = new StringWriter();
        TypedLine line = new LineEditor(new ScriptedKeyboard(columns, keys), output, "> ").Read();
        var screen = new Screen();
        screen.Write(output.ToString());
        return (line, screen);
    }

    private static (TypedLine Line, Screen Screen) Read(int columns, IEnumerable<ConsoleKeyInfo> keys, ConsoleKeyInfo last)
    {
        // The cursor is where it was before the line ended, but for the carriage return.
        var output = new StringWriter();
        TypedLine line = new LineEditor(new ScriptedKeyboard(columns, [.. keys, last]), output, "> ").Read();
        var screen = new Screen();
        screen.Write(output.ToString()[..^2]);
        return (line, screen);
    }
}
