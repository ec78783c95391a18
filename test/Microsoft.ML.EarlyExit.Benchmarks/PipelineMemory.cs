using System.Diagnostics;
using Microsoft.ML.Data;
using Microsoft.ML.EarlyExit.Memory;

namespace Microsoft.ML.EarlyExit.Benchmarks;

/// <summary>What a pipeline holds while it generates for many rows: as much at the end as at the beginning.</summary>
internal static class PipelineMemory
{
    private const int Rows = 10_000;
    private const int Every = 1_000;
    private const long LargestGrowth = 16 << 20;

    public static int Run()
    {
        var context = new MLContext();
        using EarlyExitModel model = BenchmarkModels.Load(BenchmarkModels.Demo);
        int read = 0;
        IDataView data = context.Data.LoadFromEnumerable(Prompts());
        using TextGenerationTransformer transformer = context.Transforms.Text
            .GenerateText("Text", "Prompt", model, new TextGenerationOptions { BatchSize = 8, MaxNewTokens = 16 }).Fit(data);

        Console.WriteLine("rows | rows read ahead | managed heap, MB | native buffers, MB | working set, MB");
        long first = 0;
        long last = 0;
        int row = 0;
        foreach (string _ in transformer.Transform(data).GetColumn<string>("Text"))
        {
            if (++row % Every != 0)
                continue;
            GC.Collect();
            using Process process = Process.GetCurrentProcess();
            last = process.WorkingSet64;
            if (first == 0)
                first = last;
            Console.WriteLine(FormattableString.Invariant(
                $"{row} | {read - row} | {GC.GetTotalMemory(true) / 1048576.0:F1} | {NativeBuffer.LiveBytes / 1048576.0:F1} | {last / 1048576.0:F0}"));
        }

        bool isKept = last - first <= LargestGrowth;
        Console.WriteLine(isKept ? "All promises are kept." : "The working set has grown.");
        return isKept ? 0 : 1;

        IEnumerable<Row> Prompts()
        {
            string[] names = ["Aromi", "The Mill", "Zizzi", "Blue Spice", "The Eagle", "Loch Fyne", "Strada"];
            string[] foods = ["Italian", "English", "Indian", "French", "Chinese"];
            for (int index = 0; index < Rows; index++)
            {
                read++;
                yield return new Row { Prompt = $"describe: name[{names[index % names.Length]}], food[{foods[index % foods.Length]}], rating[{index}]" };
            }
        }
    }

    private sealed class Row
    {
        public string Prompt { get; set; } = "";
    }
}
