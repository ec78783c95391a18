using Microsoft.ML.EarlyExit.Tool.Interaction;

namespace Microsoft.ML.EarlyExit.Tool.Tests;

/// <summary>Keys that were typed before.</summary>
internal sealed class ScriptedKeyboard(int columns, params IEnumerable<ConsoleKeyInfo> keys) : IKeyboard
{
    private readonly Queue<ConsoleKeyInfo> _keys = new(keys);

    public int Columns => columns;

    /// <summary>Whether Ctrl+C is a key now.</summary>
    public bool IsReading { get; private set; }

    public void BeginLine() => IsReading = true;

    public ConsoleKeyInfo ReadKey() => _keys.Dequeue();

    public void EndLine() => IsReading = false;

    public static IEnumerable<ConsoleKeyInfo> Text(string text) =>
        text.Select(character => new ConsoleKeyInfo(character, character == ' ' ? ConsoleKey.Spacebar : default, false, false, false));

    public static ConsoleKeyInfo Key(ConsoleKey key) => new('\0', key, false, false, false);

    public static ConsoleKeyInfo Control(ConsoleKey key) => new((char)(key - ConsoleKey.A + 1), key, false, false, control: true);
}
