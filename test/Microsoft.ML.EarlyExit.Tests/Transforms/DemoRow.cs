using Microsoft.ML.Data;

namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>A row of the demo's data: a prompt, and columns that are passed through.</summary>
internal sealed class DemoRow
{
    public string? Prompt { get; set; }

    public int Number { get; set; }

    [VectorType]
    public float[] Numbers { get; set; } = [];

    public string Name { get; set; } = "";

    [KeyType(10)]
    public uint Key { get; set; }

    /// <summary>Rows whose passed-through columns differ in value and length.</summary>
    public static DemoRow[] Create(int count)
    {
        string[] names = ["Aromi", "The Mill", "Zizzi", "Blue Spice", "The Eagle"];
        string[] foods = ["Italian", "English", "Indian", "French"];
        return
        [
            .. Enumerable.Range(0, count).Select(i => new DemoRow
            {
                Prompt = $"name[{names[i % names.Length]}], food[{foods[i % foods.Length]}]",
                Number = i,
                Numbers = [.. Enumerable.Range(0, i % 3).Select(j => i + (j / 10f))],
                Name = $"row {i}",
                Key = (uint)(i % 10) + 1,
            }),
        ];
    }
}
