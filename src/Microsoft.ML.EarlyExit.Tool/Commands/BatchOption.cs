using System.CommandLine;

namespace Microsoft.ML.EarlyExit.Tool.Commands;

/// <summary><c>--batch</c>: how many rows are decoded side by side.</summary>
internal static class BatchOption
{
    private const int LargestBatch = 1024;

    public static Option<int> Create() => new("--batch")
    {
        Description = $"How many rows are decoded side by side, 1 to {LargestBatch}.",
        HelpName = "N",
        DefaultValueFactory = _ => 1,
        CustomParser = result =>
        {
            string given = result.Tokens[0].Value;
            if (int.TryParse(given, out int batch) && batch is >= 1 and <= LargestBatch)
                return batch;
            result.AddError($"--batch is '{given}'; it must be a whole number from 1 to {LargestBatch}.");
            return 1;
        },
    };
}
