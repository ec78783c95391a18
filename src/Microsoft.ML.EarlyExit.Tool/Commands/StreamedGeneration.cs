using System.Diagnostics;
using System.Globalization;
using Microsoft.ML.EarlyExit.Generation;
using Microsoft.ML.EarlyExit.Tool.Interaction;
using Microsoft.ML.EarlyExit.Tool.Output;

namespace Microsoft.ML.EarlyExit.Tool.Commands;

/// <summary>Generates for somebody who watches: text as it comes, in the colours of its exit layers, then a line of figures.</summary>
/// <param name="context">Where text and messages go.</param>
/// <param name="model">The model.</param>
/// <param name="options">How to generate.</param>
internal sealed class StreamedGeneration(ToolContext context, EarlyExitModel model, TextGenerationOptions options)
{
    private readonly int _layers = model.Configuration.DecoderLayerCount;
    private readonly LayerColours _colours = new(model.Configuration.DecoderLayerCount, context.Terminal?.UsesColours == true);

    /// <summary>Generates for one text. What was shown before it is cancelled stays, on a line of its own.</summary>
    /// <returns>Whether it could be generated; where not, a message has said why.</returns>
    /// <exception cref="OperationCanceledException">Cancellation was requested.</exception>
    public bool Run(string text, CancellationToken cancellation)
    {
        PreparedInput input = model.Prepare(GenerationInput.FromText(text), options);
        if (input.Error is not null)
            return Refuse(input.Error);
        if (input.CutTokens > 0)
            context.Messages.Say($"The input was cut by {input.CutTokens} tokens to {options.MaxInputTokens}.");
        long start = 0;
        int tokens = 0;
        long blocks = 0;
        try
        {
            // Tokens per second are those of generating, without reading the weights.
            model.WarmUp(options with { BatchSize = 1 });
            start = Stopwatch.GetTimestamp();
            foreach (GeneratedToken token in model.GenerateStreamingAsync(text, options, cancellation).ToBlockingEnumerable(CancellationToken.None))
            {
                context.Output.Write(_colours.Paint(token.TextDelta, token.ExitLayer));
                tokens++;
                blocks += token.ExitLayer;
            }
        }
        catch (InvalidOperationException exception)
        {
            return Refuse(ErrorSentence.Message(exception));
        }
        finally
        {
            if (tokens > 0)
                context.Output.WriteLine();
        }

        context.Output.WriteLine(_colours.Dim(Figures(tokens, blocks, Stopwatch.GetElapsedTime(start))));
        return true;
    }

    private bool Refuse(string error)
    {
        context.Messages.Say(OptionNames.InFiles(error));
        return false;
    }

    private string Figures(int tokens, long blocks, TimeSpan time)
    {
        string unit = tokens == 1 ? "token" : "tokens";
        string figures = string.Create(
            CultureInfo.InvariantCulture,
            $"{tokens} {unit}, {tokens / time.TotalSeconds:0.0} tokens/s, mean exit layer {(double)blocks / tokens:0.0} of {_layers}");
        // Drafts are verified by the blocks above their layer, so that the layers do not say what ran.
        if (options.Exit?.SelfSpeculation is not null)
            return $"{figures} (drafts, verified at full depth)";
        long whole = (long)tokens * _layers;
        return string.Create(CultureInfo.InvariantCulture, $"{figures}: {blocks} decoder blocks ran, {100.0 * blocks / whole:0} % of full depth's {whole}");
    }
}
