using System.Buffers.Binary;

namespace Microsoft.ML.EarlyExit.Benchmarks;

/// <summary>Changes a protobuf message field by field, also those that no schema of the library knows.</summary>
internal static class ProtobufMutator
{
    private const int Deepest = 8;

    public static byte[] Mutate(byte[] message, HostileRandom random, int depth = 0)
    {
        if (message.Length == 0 || Parse(message) is not { } fields)
            return ByteMutator.Mutate(message, random);
        int at = random.Next(fields.Count);
        (int number, int wire, byte[] content) = fields[at];
        if (wire == 2 && depth < Deepest && content.Length > 1 && random.Chance(75) && Parse(content) is not null)
        {
            fields[at] = (number, wire, Mutate(content, random, depth + 1));
            return Serialize(fields);
        }

        switch (random.Next(9))
        {
            case 0:
                fields.RemoveAt(at);
                break;
            case 1:
                for (int count = random.Pick([1, 1, 1, 10, 1000]); count > 0; count--)
                    fields.Insert(at, fields[at]);
                break;
            case 2:
                int other = random.Next(fields.Count);
                (fields[at], fields[other]) = (fields[other], fields[at]);
                break;
            case 3:
                fields[at] = (random.Pick([1, 2, 3, 5, 6, 7, 8, 10, 13, 14, 15, 20, 21, 100, 536870911]), wire, content);
                break;
            case 4:
                int otherWire = random.Pick([0, 1, 2, 3, 4, 5, 6, 7]);
                fields[at] = (number, otherWire, otherWire == wire ? content : ByteMutator.Mutate(content, random));
                break;
            case 5:
                // The message in itself, over and over.
                byte[] inside = content;
                for (int count = random.Pick([1, 50, 101, 300]); count > 0 && inside.Length < 1 << 20; count--)
                    inside = Serialize([(number, 2, inside)]);
                fields[at] = (number, 2, inside);
                break;
            case 6:
                fields[at] = fields[random.Next(fields.Count)] with { Number = number };
                break;
            default:
                fields[at] = (number, wire, Change(wire, content, random));
                break;
        }

        return Serialize(fields);
    }

    private static byte[] Change(int wire, byte[] content, HostileRandom random)
    {
        switch (wire)
        {
            case 0:
                return Varint((ulong)random.Number());
            case 1:
                byte[] eight = new byte[8];
                BinaryPrimitives.WriteInt64LittleEndian(eight, random.Number());
                return eight;
            case 5:
                byte[] four = new byte[4];
                BinaryPrimitives.WriteSingleLittleEndian(
                    four, random.Pick([float.NaN, float.PositiveInfinity, float.NegativeInfinity, float.MaxValue, float.MinValue, 0, -0f, 1, -1, 1e-45f]));
                return four;
            default:
                return random.Chance(20) ? [] : ByteMutator.Mutate(content, random);
        }
    }

    private static List<(int Number, int Wire, byte[] Content)>? Parse(ReadOnlySpan<byte> message)
    {
        var fields = new List<(int Number, int Wire, byte[] Content)>();
        while (message.Length > 0)
        {
            if (!TryVarint(ref message, out ulong tag) || tag >> 3 is 0 or > 536870911)
                return null;
            int wire = (int)(tag & 7);
            ReadOnlySpan<byte> before = message;
            int length;
            switch (wire)
            {
                case 0 when TryVarint(ref message, out _):
                    fields.Add(((int)(tag >> 3), wire, before[..^message.Length].ToArray()));
                    continue;
                case 1 or 5:
                    length = wire == 1 ? 8 : 4;
                    break;
                case 2 when TryVarint(ref message, out ulong given) && given <= (ulong)message.Length:
                    length = (int)given;
                    break;
                default:
                    return null;
            }

            if (length > message.Length)
                return null;
            fields.Add(((int)(tag >> 3), wire, message[..length].ToArray()));
            message = message[length..];
        }

        return fields.Count == 0 ? null : fields;
    }

    private static byte[] Serialize(List<(int Number, int Wire, byte[] Content)> fields)
    {
        var message = new MemoryStream();
        foreach ((int number, int wire, byte[] content) in fields)
        {
            message.Write(Varint(((ulong)number << 3) | (uint)wire));
            if (wire == 2)
                message.Write(Varint((ulong)content.Length));
            message.Write(content);
        }

        return message.ToArray();
    }

    private static bool TryVarint(ref ReadOnlySpan<byte> bytes, out ulong value)
    {
        value = 0;
        for (int index = 0; index < 10 && index < bytes.Length; index++)
        {
            value |= (ulong)(bytes[index] & 0x7F) << (7 * index);
            if (bytes[index] < 0x80)
            {
                bytes = bytes[(index + 1)..];
                return true;
            }
        }

        return false;
    }

    private static byte[] Varint(ulong value)
    {
        var bytes = new List<byte>();
        for (; value >= 0x80; value >>= 7)
            bytes.Add((byte)(value | 0x80));
        return [.. bytes, (byte)value];
    }
}
