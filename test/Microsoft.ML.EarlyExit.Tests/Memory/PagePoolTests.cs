using System.Globalization;
using System.Runtime.CompilerServices;
using Microsoft.ML.EarlyExit.Memory;

namespace Microsoft.ML.EarlyExit.Tests;

[Collection("Native memory")]
public sealed class PagePoolTests
{
    private const int Megabyte = 1 << 20;

    [Fact]
    public void Released_memory_is_used_again_and_counts_no_longer()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "Only Linux gives memory page by page here.");
        using var pool = new PagePool(16 * Megabyte);
        nint address;
        using (NativeBuffer first = NativeBuffer.Sparse(4 * Megabyte, pool))
        {
            address = first.Address;
            first.Span<byte>(0, 4 * Megabyte).Fill(7);
        }

        Assert.Equal(4 * Megabyte, pool.KeptBytes);
        using NativeBuffer second = NativeBuffer.Sparse((3 * Megabyte) + 5, pool);
        Assert.Equal(address, second.Address);
        Assert.Equal((3 * Megabyte) + 5, second.Bytes);
        Assert.Equal(0, pool.KeptBytes);
        second.Span<byte>(0, (3 * Megabyte) + 5).Fill(8);
        Assert.Throws<ArgumentOutOfRangeException>(() => second.Span<byte>(1, (3 * Megabyte) + 5));
    }

    [Fact]
    public void What_is_more_than_twice_as_large_is_left_to_others()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "Only Linux gives memory page by page here.");
        using var pool = new PagePool(16 * Megabyte);
        NativeBuffer.Sparse(8 * Megabyte, pool).Dispose();
        using NativeBuffer small = NativeBuffer.Sparse(3 * Megabyte, pool);
        using NativeBuffer large = NativeBuffer.Sparse(9 * Megabyte, pool);
        Assert.Equal(8 * Megabyte, pool.KeptBytes);
    }

    [Fact]
    public void No_more_is_kept_than_the_limit_and_the_oldest_goes_first()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "Only Linux gives memory page by page here.");
        using var pool = new PagePool(10 * Megabyte);
        NativeBuffer[] buffers = [.. new[] { 4, 5, 3 }.Select(size => NativeBuffer.Sparse(size * Megabyte, pool))];
        foreach (NativeBuffer buffer in buffers)
            buffer.Dispose();
        Assert.Equal(8 * Megabyte, pool.KeptBytes);
        Assert.False(pool.TryTake(6 * Megabyte, out _, out _));
        NativeBuffer.Sparse(11 * Megabyte, pool).Dispose();
        Assert.Equal(8 * Megabyte, pool.KeptBytes);
    }

    [Fact]
    public void What_comes_back_after_the_pool_ended_is_freed()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "Only Linux gives memory page by page here.");
        var pool = new PagePool(16 * Megabyte);
        NativeBuffer late = NativeBuffer.Sparse(2 * Megabyte, pool);
        NativeBuffer.Sparse(4 * Megabyte, pool).Dispose();
        pool.Dispose();
        Assert.Equal(0, pool.KeptBytes);
        late.Dispose();
        Assert.Equal(0, pool.KeptBytes);
    }

    [Fact]
    public void A_pool_that_is_dropped_frees_what_it_keeps()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "Only Linux gives memory page by page here.");
        nint kept = Drop();
        for (int attempt = 0; attempt < 10 && IsMapped(kept); attempt++)
        {
            GC.Collect();
            GC.WaitForPendingFinalizers();
        }

        Assert.False(IsMapped(kept));

        [MethodImpl(MethodImplOptions.NoInlining)]
        static nint Drop()
        {
            NativeBuffer buffer = NativeBuffer.Sparse(48 * Megabyte, new PagePool(64 * Megabyte));
            buffer.Dispose();
            Assert.True(IsMapped(buffer.Address));
            return buffer.Address;
        }

        static bool IsMapped(nint address) => File.ReadLines("/proc/self/maps")
            .Select(line => line.Split('-', ' '))
            .Any(range => Hexadecimal(range[0]) <= (ulong)address && (ulong)address < Hexadecimal(range[1]));

        static ulong Hexadecimal(string digits) => ulong.Parse(digits, NumberStyles.HexNumber, CultureInfo.InvariantCulture);
    }

    [Fact]
    public void Small_buffers_do_not_pass_through_it()
    {
        using var pool = new PagePool(16 * Megabyte);
        using (NativeBuffer buffer = NativeBuffer.Sparse(1000, pool))
            Assert.False(buffer.Span<byte>(0, 1000).ContainsAnyExcept((byte)0));
        Assert.Equal(0, pool.KeptBytes);
    }

    [Fact]
    public void Several_threads_never_have_the_same_memory()
    {
        using var pool = new PagePool(8 * Megabyte);
        Parallel.For(0, 64, number =>
        {
            using NativeBuffer buffer = NativeBuffer.Sparse(((number % 3) + 1) * Megabyte, pool);
            Span<byte> bytes = buffer.Span<byte>(0, Megabyte);
            bytes.Fill((byte)number);
            Thread.Yield();
            Assert.False(bytes.ContainsAnyExcept((byte)number));
        });
        Assert.InRange(pool.KeptBytes, 0, 8 * Megabyte);
    }
}
