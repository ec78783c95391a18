using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;

namespace Microsoft.ML.EarlyExit.Benchmarks;

/// <summary>SplitMix64. Its seeds are hashes: neighbouring inputs of a campaign have nothing in common.</summary>
internal sealed class HostileRandom(ulong seed)
{
    private static readonly long[] s_numbers =
    [
        long.MinValue, int.MinValue, -65536, -129, -2, -1, 0, 1, 2, 3, 4, 7, 8, 15, 16, 17, 63, 64, 100, 127, 128, 255, 256, 257, 1000, 4096, 65535, 65536,
        1 << 20, 1 << 24, (1 << 30) + 1, int.MaxValue - 1, int.MaxValue, 1L << 31, uint.MaxValue, 1L << 32, 1L << 40, long.MaxValue - 7, long.MaxValue,
    ];

    private ulong _state = seed;

    /// <summary>The seed of one input.</summary>
    public static ulong Seed(int campaign, string kind, int index) =>
        BinaryPrimitives.ReadUInt64BigEndian(SHA256.HashData(Encoding.UTF8.GetBytes($"{campaign}/{kind}/{index}")));

    public ulong Bits()
    {
        ulong mixed = _state += 0x9E3779B97F4A7C15;
        mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9;
        mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB;
        return mixed ^ (mixed >> 31);
    }

    /// <summary>From 0 to below <paramref name="limit"/>.</summary>
    public int Next(int limit) => (int)((Bits() >> 32) * (ulong)Math.Max(1, limit) >> 32);

    public bool Chance(int percent) => Next(100) < percent;

    public T Pick<T>(IReadOnlyList<T> from) => from[Next(from.Count)];

    /// <summary>A whole number at which things tend to break.</summary>
    public long Number() => Pick(s_numbers) + (Chance(20) ? Next(9) - 4 : 0);
}
