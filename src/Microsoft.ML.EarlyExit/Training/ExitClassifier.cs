using System.Text;
using Microsoft.ML.EarlyExit.Exit;
using Microsoft.ML.EarlyExit.Exit.Confidences;
using Microsoft.ML.EarlyExit.Files;

namespace Microsoft.ML.EarlyExit;

/// <summary>
/// A learned measure of confidence (CALM's exit classifier): <c>sigmoid(w · h + b)</c> on the hidden state after a layer, trained to say whether the layer
/// would choose the last layer's token. Immutable.
/// </summary>
public sealed class ExitClassifier
{
    internal ExitClassifier(ClassifierProbe probe, int minimumLayer, IReadOnlyList<ExitClassifierLayer> layers)
    {
        Probe = probe;
        MinimumLayer = minimumLayer;
        Layers = layers;
        Weights = Array.AsReadOnly<IReadOnlyList<float>>(
            [.. Enumerable.Range(0, probe.RowCount).Select(row => Array.AsReadOnly(probe.Weights(row).ToArray()))]);
        Biases = Array.AsReadOnly(probe.Biases.ToArray());
    }

    /// <summary>
    /// One row of weights for all layers, or L rows, those at L and below <see cref="MinimumLayer"/> zero and not to be used; every row has the model's width.
    /// They apply to hidden states as they are: standardising and calibrating are folded in.
    /// </summary>
    public IReadOnlyList<IReadOnlyList<float>> Weights { get; }

    /// <summary>One number for each row of <see cref="Weights"/>.</summary>
    public IReadOnlyList<float> Biases { get; }

    /// <summary>The first layer that was trained on; a policy's minimum exit layer must not be below it.</summary>
    public int MinimumLayer { get; }

    /// <summary>The layers that were trained on, <see cref="MinimumLayer"/> to L - 1, and how well the classifier does at each.</summary>
    public IReadOnlyList<ExitClassifierLayer> Layers { get; }

    internal ClassifierProbe Probe { get; }

    /// <summary>The classifier as a measure of confidence for an <see cref="ExitPolicy"/>.</summary>
    public Confidence Confidence => new Classifier(Probe);

    /// <summary>The classifier as an exit policy in JSON, with <see cref="MinimumLayer"/>; the rest has its defaults.</summary>
    /// <returns>The content of a policy file.</returns>
    public string ToJson() => ExitPolicyJson.Write(new ExitPolicy { MinimumLayer = MinimumLayer, Confidence = Confidence });

    /// <summary>Saves <see cref="ToJson"/>. An older file is replaced in one step: if the process dies while saving, the file is the complete old one or the
    /// complete new one.</summary>
    /// <param name="filePath">The file; its folder must exist.</param>
    /// <exception cref="ArgumentException">The path is null or empty.</exception>
    /// <exception cref="DirectoryNotFoundException">The path's folder does not exist.</exception>
    /// <exception cref="IOException">The path is a folder or a device, or the file cannot be written or replaced.</exception>
    /// <exception cref="UnauthorizedAccessException">The folder or the older file must not be written.</exception>
    public void Save(string filePath)
    {
        ArgumentException.ThrowIfNullOrEmpty(filePath);
        AtomicFile.Write(filePath, "policy file", stream => stream.Write(Encoding.UTF8.GetBytes(ToJson())));
    }
}
