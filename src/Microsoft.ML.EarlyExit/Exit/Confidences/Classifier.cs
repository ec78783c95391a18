using System.Text.Json;

namespace Microsoft.ML.EarlyExit.Exit.Confidences;

/// <summary>A learned linear probe on the hidden state, <c>sigmoid(w · h^l + b)</c> (CALM, section 3.5).</summary>
internal sealed class Classifier(ClassifierProbe probe) : Confidence
{
    internal ClassifierProbe Probe { get; } = probe;

    internal static ConfidenceKind Kind { get; } = new(
        "classifier",
        new ConfidenceParameters("classifier", fields => new ClassifierProbe(fields.GetSingleRows("weights"), fields.GetSingles("biases"))),
        (fields, probe) => probe is null
            ? throw fields.Refuse("confidence", "it needs the field classifier, with weights and biases")
            : new Classifier((ClassifierProbe)probe));

    internal override string Name => Kind.Name;

    internal override bool UsesLogits => false;

    public override bool Equals(object? obj) => obj is Classifier other && other.Probe.Equals(Probe);

    public override int GetHashCode() => Probe.GetHashCode();

    public override string ToString() => $"{Name} ({(Probe.RowCount == 1 ? "1 row" : $"{Probe.RowCount} rows")} of {Probe.Width} weights)";

    internal override void Validate(ExitPolicy policy, T5Configuration configuration) =>
        Probe.Validate(configuration.ModelDimension, configuration.DecoderLayerCount);

    internal override float Evaluate(TokenState token) => Probe.Evaluate(token.Layer, token.Hidden);

    private protected override void WriteParameters(Utf8JsonWriter writer)
    {
        writer.WriteStartObject("classifier");
        writer.WriteStartArray("weights");
        for (int row = 0; row < Probe.RowCount; row++)
        {
            writer.WriteStartArray();
            foreach (float weight in Probe.Weights(row))
                writer.WriteNumberValue(weight);
            writer.WriteEndArray();
        }

        writer.WriteEndArray();
        writer.WriteStartArray("biases");
        foreach (float bias in Probe.Biases)
            writer.WriteNumberValue(bias);
        writer.WriteEndArray();
        writer.WriteEndObject();
    }
}
