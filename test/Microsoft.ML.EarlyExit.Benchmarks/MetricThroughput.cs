using System.Diagnostics;
using System.Text.Json;

namespace Microsoft.ML.EarlyExit.Benchmarks;

/// <summary>Pairs per second of each text metric on one thread, and what it allocates per pair, on texts of E2E; fails where a pair allocates.</summary>
internal static class MetricThroughput
{
    private const int Rounds = 5;
    private static readonly TimeSpan s_round = TimeSpan.FromSeconds(1);

    public static int Run()
    {
        using JsonDocument file = JsonDocument.Parse(File.ReadAllBytes(Repository.Fixture("rouge/pairs-e2e.json")));
        (string Prediction, string Reference)[] pairs = [.. file.RootElement.GetProperty("cases").EnumerateArray()
            .Select(line => (line.GetProperty("prediction").GetString()!, line.GetProperty("reference").GetString()!))];
        (string Prediction, string Reference)[] lines = [.. pairs.Select(pair => (Cut(pair.Prediction), Cut(pair.Reference)))];
        double length = pairs.Average(pair => pair.Prediction.Length + pair.Reference.Length);
        Console.WriteLine(FormattableString.Invariant($"{pairs.Length} pairs, {length:F0} chars each, one thread, best of {Rounds} rounds"));

        RougeScorer plain = new();
        RougeScorer stemmed = new(useStemmer: true);
        long[] statistics = new long[Math.Max(BleuScorer.StatisticCount, ChrfScorer.StatisticCount)];
        bool isKept = Measure("ROUGE", pairs, (prediction, reference) => plain.Score(prediction, reference));
        isKept &= Measure("ROUGE, stemmed", pairs, (prediction, reference) => stemmed.Score(prediction, reference));
        isKept &= Measure("ROUGE, a line each sentence", lines, (prediction, reference) => plain.Score(prediction, reference));
        isKept &= Measure("SQuAD", pairs, (prediction, reference) => SquadScorer.Score(prediction, reference));
        isKept &= Measure("BLEU", pairs, (prediction, reference) => BleuScorer.Count(prediction, [reference], statistics));
        isKept &= Measure("chrF", pairs, (prediction, reference) => ChrfScorer.Count(prediction, [reference], statistics));
        if (!isKept)
            Console.WriteLine("A promise is broken: a pair allocates nothing.");
        return isKept ? 0 : 1;
    }

    private static string Cut(string text) => text.Replace(". ", ".\n");

    private static bool Measure(string name, (string Prediction, string Reference)[] pairs, Action<string, string> score)
    {
        double best = 0;
        long allocated = 0;
        long scored = 0;
        for (int round = 0; round < Rounds; round++)
        {
            scored = 0;
            long before = GC.GetAllocatedBytesForCurrentThread();
            var watch = Stopwatch.StartNew();
            while (watch.Elapsed < s_round)
            {
                foreach ((string prediction, string reference) in pairs)
                    score(prediction, reference);
                scored += pairs.Length;
            }

            best = Math.Max(best, scored / watch.Elapsed.TotalSeconds);
            allocated = GC.GetAllocatedBytesForCurrentThread() - before;
        }

        Console.WriteLine(FormattableString.Invariant($"{name}: {best:F0} pairs/s, {(double)allocated / scored:F1} bytes allocated per pair"));
        return allocated < scored;
    }
}
