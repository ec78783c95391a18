using System.Runtime.InteropServices;

namespace Microsoft.ML.EarlyExit.Reproduction;

/// <summary>What the times were measured on.</summary>
/// <param name="Processor">The processor's name as its maker has it; the architecture where the system does not tell.</param>
/// <param name="Threads">Threads that one step of generation uses.</param>
/// <param name="OperatingSystem">The operating system.</param>
/// <param name="Runtime">The .NET runtime.</param>
internal sealed record Machine(string Processor, int Threads, string OperatingSystem, string Runtime)
{
    public static Machine Current { get; } =
        new(ProcessorName(), Environment.ProcessorCount, RuntimeInformation.OSDescription, RuntimeInformation.FrameworkDescription);

    private static string ProcessorName()
    {
        const string Information = "/proc/cpuinfo";
        string? name = null;
        if (File.Exists(Information))
        {
            string? line = File.ReadLines(Information).FirstOrDefault(line => line.StartsWith("model name", StringComparison.Ordinal));
            name = line?[(line.IndexOf(':') + 1)..].Trim();
        }

        name ??= Environment.GetEnvironmentVariable("PROCESSOR_IDENTIFIER");
        return string.IsNullOrWhiteSpace(name) ? RuntimeInformation.ProcessArchitecture.ToString() : name;
    }
}
