namespace Microsoft.ML.EarlyExit;

/// <summary>A learned linear probe on the hidden state, <c>sigmoid(w · h^l + b)</c> (CALM, section 3.5).</summary>
internal sealed class Classifier(ClassifierProbe probe) : Confidence
{
    internal ClassifierProbe Probe { get; } = probe;

    internal override string Name => "classifier";

    internal override bool UsesLogits => false;

    public override bool Equals(object? obj) => obj is Classifier other && other.Probe.Equals(Probe);

    public override int GetHashCode() => Probe.GetHashCode();

    public override string ToString() => $"{Name} ({(Probe.RowCount == 1 ? "1 row" : $"{Probe.RowCount} rows")} of {Probe.Width} weights)";

    internal override void Validate(ExitPolicy policy, T5Configuration configuration) =>
        Probe.Validate(configuration.ModelDimension, configuration.DecoderLayerCount);

    internal override float Evaluate(TokenState token) => Probe.Evaluate(token.Layer, token.Hidden);
}
