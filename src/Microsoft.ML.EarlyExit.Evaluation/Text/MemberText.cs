using System.Collections;
using System.Globalization;
using System.Reflection;

namespace Microsoft.ML.EarlyExit.Evaluation.Text;

/// <summary>Objects as people read them in logs and debuggers: the type and its public properties, as records have it, but alike in every culture, lists with
/// their items, and without what is null.</summary>
internal static class MemberText
{
    private const int ShownItems = 8;

    /// <summary>The name of an object's type, and its properties.</summary>
    public static string Of(object value) => Of(value.GetType().Name, List(value));

    /// <summary>A type's name, and what <see cref="List(object)"/> or <see cref="List(IEnumerable{ValueTuple{string, object}})"/> gives.</summary>
    public static string Of(string name, string members) => members.Length == 0 ? $"{name} {{ }}" : $"{name} {{ {members} }}";

    /// <summary>An object's properties, in the order of their declaration.</summary>
    public static string List(object value) => List(value.GetType()
        .GetProperties(BindingFlags.Public | BindingFlags.Instance)
        .Select(property => (property.Name, property.GetValue(value))));

    /// <summary>Names and values, without what is null.</summary>
    public static string List(IEnumerable<(string Name, object? Value)> members) =>
        string.Join(", ", members.Where(member => member.Value is not null).Select(member => $"{member.Name} = {Format(member.Value!)}"));

    private static string Format(object value) => value switch
    {
        string text => $"\"{text}\"",
        float number => number.ToString("G7", CultureInfo.InvariantCulture),
        double number => number.ToString("G6", CultureInfo.InvariantCulture),
        DateTimeOffset date => date.ToString("O", CultureInfo.InvariantCulture),
        IFormattable number => number.ToString(null, CultureInfo.InvariantCulture),
        IEnumerable items => Format([.. items.Cast<object>()]),
        _ => value.ToString() ?? "",
    };

    private static string Format(object[] items)
    {
        if (!items.All(item => item is string || item.GetType().IsPrimitive))
            return string.Create(CultureInfo.InvariantCulture, $"[{items.Length} in all]");
        string shown = string.Join(", ", items.Take(ShownItems).Select(Format));
        return items.Length <= ShownItems ? $"[{shown}]" : string.Create(CultureInfo.InvariantCulture, $"[{shown}, … {items.Length} in all]");
    }
}
