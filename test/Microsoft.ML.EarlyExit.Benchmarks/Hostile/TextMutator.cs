using System.Globalization;
using System.Text;

namespace Microsoft.ML.EarlyExit.Benchmarks;

/// <summary>Changes a text file as its extension says it is to be read.</summary>
internal static class TextMutator
{
    private static readonly byte[][] s_marks =
        [[(byte)'"'], [(byte)','], [(byte)'\t'], [(byte)'\r'], [(byte)'\n'], [(byte)'"', (byte)'"'], [0], [0xFF], [0xEF, 0xBB, 0xBF], [0xED, 0xA0, 0x80]];

    /// <summary>Makes one to four changes.</summary>
    public static byte[] Mutate(string name, byte[] bytes, HostileRandom random)
    {
        for (int count = 1 + random.Next(random.Chance(60) ? 1 : 4); count > 0; count--)
        {
            bytes = Path.GetExtension(name) switch
            {
                ".json" => JsonMutator.Mutate(bytes, random),
                ".jsonl" or ".partial" => JsonMutator.MutateLines(bytes, random),
                _ when random.Chance(50) && random.Next(bytes.Length + 1) is var at => [.. bytes.AsSpan(0, at), .. random.Pick(s_marks), .. bytes.AsSpan(at)],
                _ when random.Chance(50) => ReplaceNumber(bytes, random),
                _ => ByteMutator.Mutate(bytes, random),
            };
        }

        return bytes;
    }

    /// <summary>Puts another number in the place of a digit.</summary>
    private static byte[] ReplaceNumber(byte[] bytes, HostileRandom random)
    {
        int[] digits = [.. Enumerable.Range(0, bytes.Length).Where(index => char.IsAsciiDigit((char)bytes[index]))];
        if (digits.Length == 0)
            return ByteMutator.Mutate(bytes, random);
        int at = random.Pick(digits);
        string number = random.Chance(50)
            ? random.Number().ToString(CultureInfo.InvariantCulture)
            : random.Pick(["NaN", "Infinity", "-Infinity", "1e308", "-1e308", "1e-320", "1e17", "∞", "1,5", "0x10", " 7", ""]);
        return [.. bytes.AsSpan(0, at), .. Encoding.UTF8.GetBytes(number), .. bytes.AsSpan(at + 1)];
    }
}
