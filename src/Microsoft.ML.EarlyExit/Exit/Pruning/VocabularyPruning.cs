using System.Text.Json;
using System.Text.Json.Serialization;
using Microsoft.ML.EarlyExit.Exit.Pruning;

namespace Microsoft.ML.EarlyExit;

/// <summary>
/// How many tokens stay alive from layer to layer (section 4.2 of the paper): at the first layer where a confidence is computed, j, all tokens are ranked by
/// their logits; at a later layer l of the same token only the best k_l of that ranking are looked at. Alive sets only shrink, ties go to the lower id.
/// Immutable.
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

    /// <summary>The full vocabulary at every layer.</summary>
    public static VocabularyPruning None { get; } = new NoPruning();

    /// <summary>Every kind of pruning there is.</summary>
    internal static IReadOnlyList<PruningKind> Kinds { get; } = [NoPruning.Kind, FixedPruning.Kind, DecayingPruning.Kind, AdaptivePruning.Kind];

    /// <summary>The name in policy files.</summary>
    internal abstract string Name { get; }

    /// <summary>The numbers it was given.</summary>
    internal virtual PruningParameters Parameters => new();

    /// <summary>Whether anything is ever cut.</summary>
    internal virtual bool Prunes => true;

    /// <summary>Whether the first cut is the last, as the number is the same at every layer.</summary>
    internal virtual bool CutsOnce => false;

    /// <summary>The same number at every layer after j.</summary>
    /// <param name="k">How many, at least 2; null for what <see cref="Decaying"/> with its defaults gives at j, as in the paper. With k of the vocabulary's
    /// size or more nothing is pruned.</param>
    /// <returns>The pruning.</returns>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="k"/> is below 2.</exception>
    public static VocabularyPruning Fixed(int? k = null) => new FixedPruning(k, Defaults.LargestAlive, Defaults.SmallestAlive);

    /// <summary>Fewer with every layer: <c>k_l = max(kMin, floor(kMax / (1 + (kMax - kMin) / kMin · l / L)))</c>.</summary>
    /// <param name="kMax">The number the formula starts from, at least <paramref name="kMin"/>.</param>
    /// <param name="kMin">The least number, at least 2.</param>
    /// <returns>The pruning.</returns>
    /// <exception cref="ArgumentOutOfRangeException">A number is outside its range.</exception>
    public static VocabularyPruning Decaying(int kMax = Defaults.LargestAlive, int kMin = Defaults.SmallestAlive) => new DecayingPruning(kMax, kMin);

    /// <summary>Fewer the surer the model was at the layer asked before: <c>k_l = max(kMin, floor(K · (1 - scale · c^(l-1))))</c>.</summary>
    /// <param name="scale">How much a confidence counts, in [0, 1].</param>
    /// <param name="kMin">The least number, at least 2.</param>
    /// <param name="k">K, at least 2; null for what <see cref="Decaying"/> with its default kMax and <paramref name="kMin"/> gives at j. The vocabulary's size
    /// is the literal formula of the paper.</param>
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
    public override string ToString() => Name;

    /// <summary>The most tokens that may stay alive at a layer after j; more than the vocabulary has says that nothing is cut there.</summary>
    /// <param name="layer">The layer l, j + 1 to L.</param>
    /// <param name="firstLayer">The layer j.</param>
    /// <param name="layerCount">L.</param>
    /// <param name="previousConfidence">The confidence at the layer before, of those that are asked after.</param>
    internal abstract int CountAt(int layer, int firstLayer, int layerCount, float previousConfidence);

    /// <summary>Writes the fields from which <see cref="PruningKind.Read"/> makes an equal pruning.</summary>
    internal void Write(Utf8JsonWriter writer)
    {
        writer.WriteString("kind", Name);
        Parameters.Write(writer);
    }

    /// <summary>How many tokens the first cut starts from.</summary>
    internal abstract int FirstSize(int firstLayer, int layerCount);

    /// <summary>What a pruning that follows the confidence keeps of a number of tokens, without its lower bound; null for the others.</summary>
    internal virtual int? ShareOf(int count, float previousConfidence) => null;

    private protected static int AtLeastTwo(int value, string name) =>
        value >= 2 ? value : throw new ArgumentOutOfRangeException(name, value, $"{name} must be at least 2: a margin needs two tokens.");
}
