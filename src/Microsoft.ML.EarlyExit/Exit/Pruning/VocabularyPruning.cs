using System.Text.Json.Serialization;

namespace Microsoft.ML.EarlyExit;

/// <summary>
/// How many tokens stay alive from layer to layer (section 4.2 of the paper): at the first layer where a confidence is computed, j, all tokens are ranked by their
/// logits; at a later layer l of the same token only the best k_l of that ranking are looked at. Alive sets only shrink, ties go to the lower id. Immutable.
/// </summary>
[JsonConverter(typeof(VocabularyPruningConverter))]
public abstract class VocabularyPruning : IEquatable<VocabularyPruning>
{
    internal static class Defaults
    {
        public const int LargestAlive = 35000;
        public const int SmallestAlive = 250;
        public const float Scale = 0.9f;
    }

    private protected VocabularyPruning()
    {
    }

    /// <summary>The whole vocabulary at every layer.</summary>
    public static VocabularyPruning None { get; } = new NoPruning();

    /// <summary>The name in policy files.</summary>
    internal abstract string Kind { get; }

    /// <summary>The same number at every layer after j.</summary>
    /// <param name="k">How many, at least 2; null for what <see cref="Decaying"/> with its defaults leaves at j, as in the paper. With k of the vocabulary's size
    /// or more nothing is pruned.</param>
    /// <returns>The pruning.</returns>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="k"/> is below 2.</exception>
    public static VocabularyPruning Fixed(int? k = null) => new FixedPruning(k, Defaults.LargestAlive, Defaults.SmallestAlive);

    /// <summary>Fewer with every layer: <c>k_l = max(kMin, floor(kMax / (1 + (kMax - kMin) / kMin · l / L)))</c>.</summary>
    /// <param name="kMax">The number the formula starts from, at least <paramref name="kMin"/>.</param>
    /// <param name="kMin">The least number, at least 2.</param>
    /// <returns>The pruning.</returns>
    /// <exception cref="ArgumentOutOfRangeException">A number is outside its range.</exception>
    public static VocabularyPruning Decaying(int kMax = Defaults.LargestAlive, int kMin = Defaults.SmallestAlive) => new DecayingPruning(kMax, kMin);

    /// <summary>Fewer the surer the model was at the layer before: <c>k_l = max(kMin, floor(K · (1 - scale · c^(l-1))))</c>.</summary>
    /// <param name="scale">How much a confidence counts, in [0, 1].</param>
    /// <param name="kMin">The least number, at least 2.</param>
    /// <param name="k">K, at least 2; null for what <see cref="Decaying"/> with its default kMax and <paramref name="kMin"/> leaves at j. The vocabulary's size is
    /// the literal formula of the paper.</param>
    /// <returns>The pruning.</returns>
    /// <exception cref="ArgumentOutOfRangeException">A number is outside its range.</exception>
    public static VocabularyPruning Adaptive(float scale = Defaults.Scale, int kMin = Defaults.SmallestAlive, int? k = null) =>
        new AdaptivePruning(scale, k, Math.Max(Defaults.LargestAlive, kMin), kMin);

    /// <inheritdoc/>
    public abstract bool Equals(VocabularyPruning? other);

    /// <inheritdoc/>
    public sealed override bool Equals(object? obj) => obj is VocabularyPruning other && Equals(other);

    /// <inheritdoc/>
    public abstract override int GetHashCode();

    /// <summary>The kind's name, as policy files have it, and its numbers.</summary>
    /// <returns>For instance <c>decaying (kMax 35000, kMin 250)</c>.</returns>
    public override string ToString() => Kind;

    /// <summary>The most tokens that may stay alive at a layer after j; more than the vocabulary has says that nothing is cut there.</summary>
    /// <param name="layer">The layer l, j + 1 to L.</param>
    /// <param name="firstLayer">The layer j.</param>
    /// <param name="layerCount">L.</param>
    /// <param name="previousConfidence">The confidence at layer l - 1.</param>
    internal abstract int CountAt(int layer, int firstLayer, int layerCount, float previousConfidence);

    /// <summary>The size of the list that the published code makes at j, of which it cuts at later layers.</summary>
    internal abstract int ListSize(int firstLayer, int layerCount);

    /// <summary>How many tokens of its list the published code keeps at a layer after j; see <see cref="ExitPolicy.ReferenceCompatible"/>.</summary>
    internal virtual int ReferenceCountAt(int layer, int firstLayer, int layerCount, int vocabularySize, float previousConfidence) =>
        CountAt(layer, firstLayer, layerCount, previousConfidence);

    /// <summary>The head rows that the published code charges for an evaluation after j.</summary>
    internal virtual int PaperRows(int alive, int vocabularySize, float previousConfidence) => alive;

    private protected static int AtLeastTwo(int value, string name) =>
        value >= 2 ? value : throw new ArgumentOutOfRangeException(name, value, $"{name} must be at least 2: a margin needs two tokens.");
}
