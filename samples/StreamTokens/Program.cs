// Text as it is generated, every token coloured by its exit layer. Texts may be given as arguments; Ctrl+C ends the generation.
using Microsoft.ML.EarlyExit;
using Samples;

string[] texts = args.Length > 0 ? args :
[
    "describe: name[The Waterman], food[Italian], priceRange[cheap], customer rating[high], familyFriendly[yes]",
    "question: What is it near? context: A coffee shop in the riverside area, near Burger King, serving English food is The Eagle.",
];
using var cancellation = new CancellationTokenSource();
Console.CancelKeyPress += (_, pressed) =>
{
    pressed.Cancel = true;
    cancellation.Cancel();
};
using EarlyExitModel model = EarlyExitModel.Load(DemoModel.GetBundle());
int layers = model.Configuration.DecoderLayerCount;
var options = new TextGenerationOptions { Exit = new ExitPolicy { MinimumLayer = 4, Threshold = 0.9f } };
try
{
    foreach (string text in texts)
    {
        Console.WriteLine(text);
        Console.Write("  ");
        var exits = new List<int>();
        StopReason? stopReason = null;
        await foreach (GeneratedToken token in model.GenerateStreamingAsync(text, options, cancellation.Token))
        {
            Console.Write(LayerColours.Paint(token.TextDelta, token.ExitLayer, layers));
            exits.Add(token.ExitLayer);
            stopReason = token.StopReason;
        }

        Console.WriteLine();
        Console.WriteLine($"  {exits.Count} tokens, mean exit {exits.Average():F1} of {layers} layers, ended by {stopReason}");
    }

    return 0;
}
catch (OperationCanceledException)
{
    Console.WriteLine();
    Console.WriteLine("  cancelled");
    return 130;
}
