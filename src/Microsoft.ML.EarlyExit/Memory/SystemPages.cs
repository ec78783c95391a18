using System.Runtime.InteropServices;

namespace Microsoft.ML.EarlyExit.Memory;

/// <summary>Memory that the operating system gives page by page, as it is written; .NET has no call for it.</summary>
internal static unsafe partial class SystemPages
{
    private const int ReadAndWrite = 0x1 | 0x2;
    private const int PrivateAnonymousUnreserved = 0x2 | 0x20 | 0x4000;
    private const int Reclaimable = 8;
    private const int NoHugePages = 15;

    /// <summary>Zeroed memory of whole pages, of which only those that are written count; null where the system has none, or its flags are not known
    /// here.</summary>
    public static void* TryReserve(long bytes)
    {
        if (!OperatingSystem.IsLinux())
            return null;
        nint address = Map(0, (nint)bytes, ReadAndWrite, PrivateAnonymousUnreserved, -1, 0);
        if (address == -1)
            return null;
        // A huge page would bring the empty room of many rows with the first entry of one. Only advice.
        _ = Advise(address, (nint)bytes, NoHugePages);
        return (void*)address;
    }

    /// <summary>Lets the system take pages back, and what they hold, when it runs short of memory; they can be written again all the same.</summary>
    /// <returns>Whether it can: not memory that is locked, and not where it has no such call.</returns>
    public static bool Offer(void* start, long bytes) => Advise((nint)start, (nint)bytes, Reclaimable) == 0;

    /// <summary>Gives back what <see cref="TryReserve"/> gave.</summary>
    public static void Free(void* start, long bytes) => _ = Unmap((nint)start, (nint)bytes);

    [LibraryImport("libc", EntryPoint = "mmap")]
    private static partial nint Map(nint address, nint length, int protection, int flags, int file, nint offset);

    [LibraryImport("libc", EntryPoint = "munmap")]
    private static partial int Unmap(nint address, nint length);

    [LibraryImport("libc", EntryPoint = "madvise")]
    private static partial int Advise(nint address, nint length, int advice);
}
