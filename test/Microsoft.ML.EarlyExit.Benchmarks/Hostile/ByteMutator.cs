using System.Buffers.Binary;

namespace Microsoft.ML.EarlyExit.Benchmarks;

/// <summary>Changes bytes without a notion of what they are.</summary>
internal static class ByteMutator
{
    private const int LargestInsertion = 70_000;

    public static byte[] Mutate(byte[] bytes, HostileRandom random)
    {
        if (bytes.Length == 0)
            return new byte[random.Next(64)];
        byte[] changed = [.. bytes];
        int at = random.Next(bytes.Length);
        int length = random.Next(Math.Min(bytes.Length - at, random.Chance(80) ? 64 : bytes.Length)) + 1;
        switch (random.Next(11))
        {
            case 0 or 1:
                changed[at] ^= (byte)(1 << random.Next(8));
                return changed;
            case 2:
                changed[at] = (byte)random.Number();
                return changed;
            case 3 or 4:
                Span<byte> number = stackalloc byte[8];
                if (random.Chance(50))
                    BinaryPrimitives.WriteInt64LittleEndian(number, random.Number());
                else
                    BinaryPrimitives.WriteInt64BigEndian(number, random.Number());
                int width = random.Pick([2, 4, 8]);
                number[..Math.Min(width, bytes.Length - at)].CopyTo(changed.AsSpan(at));
                return changed;
            case 5:
                return [.. bytes.AsSpan(0, at), .. bytes.AsSpan(Math.Min(at + length, bytes.Length))];
            case 6:
                return [.. bytes.AsSpan(0, at), .. bytes.AsSpan(random.Next(bytes.Length - length + 1), length), .. bytes.AsSpan(at)];
            case 7:
                return bytes[..at];
            case 8:
                byte[] more = new byte[random.Next(random.Chance(80) ? 64 : LargestInsertion)];
                if (random.Chance(50))
                    Fill(more, random);
                return random.Chance(50) ? [.. bytes, .. more] : [.. bytes.AsSpan(0, at), .. more, .. bytes.AsSpan(at)];
            case 9:
                Fill(changed.AsSpan(at, length), random);
                return changed;
            default:
                bytes.AsSpan(random.Next(bytes.Length - length + 1), length).CopyTo(changed.AsSpan(at));
                return changed;
        }
    }

    public static void Fill(Span<byte> bytes, HostileRandom random)
    {
        foreach (ref byte value in bytes)
            value = (byte)random.Bits();
    }
}
