namespace Microsoft.ML.EarlyExit;

/// <summary>A measure, in [0, 1], of how sure the model is of its next token after some decoder layer.</summary>
public abstract class Confidence
{
    private protected Confidence()
    {
    }

    /// <summary>The probability of the likeliest token less that of the second.</summary>
    public static Confidence SoftmaxMargin { get; } = new SoftmaxMargin();

    /// <summary>Every measure that needs no parameters, by <see cref="Name"/>.</summary>
    internal static IReadOnlyDictionary<string, Confidence> ByName { get; } = new Confidence[] { SoftmaxMargin }.ToDictionary(measure => measure.Name);

    /// <summary>The measure's name in policy files.</summary>
    internal abstract string Name { get; }

    /// <summary>Whether <see cref="Evaluate"/> needs the logits of the layer.</summary>
    internal abstract bool UsesLogits { get; }

    /// <summary>The confidence after a layer.</summary>
    /// <param name="logits">Logits of the layer over the alive vocabulary; empty unless <see cref="UsesLogits"/>.</param>
    /// <returns>A number in [0, 1]; NaN where the logits hold a NaN or an infinity.</returns>
    internal abstract float Evaluate(ReadOnlySpan<float> logits);
}
