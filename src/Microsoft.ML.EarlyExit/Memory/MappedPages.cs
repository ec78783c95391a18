using System.Runtime.InteropServices;

namespace Microsoft.ML.EarlyExit.Memory;

/// <summary>Tells the operating system which pages it may drop; .NET has no call for it.</summary>
internal static unsafe partial class MappedPages
{
    private const int DontNeed = 4;

    /// <summary>
    /// Drops the whole pages inside a range. A later read brings those of a read-only file mapping back; other memory then holds zeros. Does nothing where the
    /// system has no such call.
    /// </summary>
    public static void Release(void* start, long bytes)
    {
        if (!OperatingSystem.IsLinux())
            return;
        nint page = Environment.SystemPageSize;
        nint first = ((nint)start + page - 1) / page * page;
        nint end = ((nint)start + (nint)bytes) / page * page;
        // Only advice: a failure costs memory and nothing else.
        if (end > first)
            _ = Advise(first, end - first, DontNeed);
    }

    [LibraryImport("libc", EntryPoint = "madvise")]
    private static partial int Advise(nint address, nint length, int advice);
}
