using System.Text.Json;
using System.Text.Json.Serialization;
using Microsoft.ML.EarlyExit.Exit;
using Microsoft.ML.EarlyExit.Exit.Confidences;

namespace Microsoft.ML.EarlyExit;

/// <summary>A measure, in [0, 1], of how sure the model is of its next token after some decoder layer. Immutable.</summary>
[JsonConverter(typeof(ConfidenceConverter))]
public abstract class Confidence
{
    private protected Confidence()
    {
    }

    /// <summary>The probability of the likeliest token less that of the second (section 4.1 of the paper; CALM).</summary>
    public static Confidence SoftmaxMargin { get; } = new SoftmaxMargin();

    /// <summary>The cosine similarity of the hidden states after a layer and after the one before it, clamped to [0, 1] (CALM): whether the state has come to
    /// rest. It needs no LM head before the exit, and so cannot be combined with pruning.</summary>
    public static Confidence HiddenStateSaturation { get; } = new HiddenStateSaturation();

    /// <summary>Every kind of measure there is.</summary>
    internal static IReadOnlyList<ConfidenceKind> Kinds { get; } =
    [
        Exit.Confidences.SoftmaxMargin.Kind,
        Exit.Confidences.HiddenStateSaturation.Kind,
        Exit.Confidences.Classifier.Kind,
        Exit.Confidences.WeightedContrastive.Kind,
        Exit.Confidences.JsdContrastive.Kind,
    ];

    /// <summary>The name in policy files.</summary>
    internal abstract string Name { get; }

    /// <summary>Whether <see cref="Evaluate"/> needs the logits of the layer.</summary>
    internal abstract bool UsesLogits { get; }

    /// <summary>Whether <see cref="Evaluate"/> needs every one of the layer's logits, rather than the best two and the sum of all exponentials.</summary>
    internal virtual bool UsesAllLogits => UsesLogits;

    /// <summary>Whether <see cref="Evaluate"/> needs the logits of layers before it.</summary>
    internal virtual bool ComparesLayers => false;

    /// <summary>Whether the token chosen at an exit is the measure's own rather than that of the largest logit; see
    /// <see cref="TokenState.TryGetLogScores"/>.</summary>
    internal virtual bool ChoosesToken => false;

    /// <summary>Whether a token whose confidence is no number exits.</summary>
    internal virtual bool ExitsWithoutNumber => false;

    /// <summary>A learned linear probe on the hidden state, <c>sigmoid(w · h + b)</c> (CALM): how likely the model is to choose the same token at full depth.
    /// It needs no LM head before the exit, and so cannot be combined with pruning.</summary>
    /// <param name="weights">One row of the model's width for all layers, or one row per layer, 1 to L; those below the minimum exit layer and at L are not
    /// used.</param>
    /// <param name="biases">One number per row.</param>
    /// <returns>The measure.</returns>
    /// <exception cref="ArgumentException">Rows and biases differ in number, rows differ in length, or a number is not finite.</exception>
    public static Confidence Classifier(IReadOnlyList<IReadOnlyList<float>> weights, IReadOnlyList<float> biases) =>
        new Classifier(new ClassifierProbe(weights, biases));

    /// <summary>Compares the layer's expert with an amateur: an earlier layer of fixed depth, by auto-contrastive decoding (section 4.3 of the paper; Gera et
    /// al., 2023).</summary>
    /// <param name="options">How the two are compared; null for the defaults.</param>
    /// <returns>The measure.</returns>
    public static Confidence WeightedContrastive(ContrastiveOptions? options = null) => new WeightedContrastive(options ?? new ContrastiveOptions());

    /// <summary>Compares the layer's expert with the earlier layer that is most unlike it, by Jensen-Shannon divergence per layer between them (section 4.3
    /// of the paper; DoLa, Chuang et al., 2024).</summary>
    /// <param name="options">How the two are compared; null for the defaults.</param>
    /// <returns>The measure.</returns>
    public static Confidence JsdContrastive(ContrastiveOptions? options = null) => new JsdContrastive(options ?? new ContrastiveOptions());

    /// <summary>A measure of your own: a delegate that says from a layer's logits or hidden state how sure the model is.</summary>
    /// <remarks>
    /// It is called for every token after every layer where a confidence is evaluated, by several threads where several generate, and must give the same number
    /// for the same token. A number outside [0, 1], or NaN, fails the row with an error that names the measure; an exception that it throws ends the call. A
    /// delegate has no form in a file: a policy with it cannot be saved or calibrated unless it is registered, see <see cref="Register"/>. Two are equal if
    /// name, needs and delegate are.
    /// </remarks>
    /// <param name="name">Its name in messages and files: 1 to 100 ASCII letters, digits, dots, hyphens and underscores; none of the library's.</param>
    /// <param name="needs">What it is computed from.</param>
    /// <param name="evaluate">The confidence of a token, in [0, 1]. The view's numbers are finite: a row whose logits or hidden state hold a NaN or an
    /// infinity fails before.</param>
    /// <returns>The measure.</returns>
    /// <exception cref="ArgumentException">The name is empty, holds other characters, or is one of the library's.</exception>
    /// <exception cref="ArgumentNullException">An argument is null.</exception>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="needs"/> is not one of the enumeration's.</exception>
    public static Confidence Custom(string name, ConfidenceNeeds needs, Func<TokenView, float> evaluate) => new CustomConfidence(name, needs, evaluate);

    /// <summary>
    /// Makes a measure of your own known by its name, for this process: what is saved with it holds the name, and loading finds it. Register it before
    /// either, at the program's start; from any thread, and as often as you like with the same delegate.
    /// </summary>
    /// <inheritdoc cref="Custom" path="/remarks"/>
    /// <param name="name"><inheritdoc cref="Custom" path="/param[@name='name']"/></param>
    /// <param name="needs"><inheritdoc cref="Custom" path="/param[@name='needs']"/></param>
    /// <param name="evaluate"><inheritdoc cref="Custom" path="/param[@name='evaluate']"/></param>
    /// <returns>The measure, equal to that of <see cref="Custom"/> with the same arguments.</returns>
    /// <exception cref="ArgumentException">The name is empty, holds other characters, or is one of the library's.</exception>
    /// <exception cref="ArgumentNullException">An argument is null.</exception>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="needs"/> is not one of the enumeration's.</exception>
    /// <exception cref="InvalidOperationException">The name is registered with another delegate or other needs.</exception>
    public static Confidence Register(string name, ConfidenceNeeds needs, Func<TokenView, float> evaluate) =>
        RegisteredConfidences.Add(new CustomConfidence(name, needs, evaluate));

    /// <summary>The measure's name, as policy files have it, and what else it was given.</summary>
    /// <returns>For instance <c>softmaxMargin</c>.</returns>
    public override string ToString() => Name;

    /// <summary>Writes the fields from which <see cref="ConfidenceKind.Read"/> makes an equal measure.</summary>
    internal void Write(Utf8JsonWriter writer)
    {
        writer.WriteString("confidence", Name);
        WriteParameters(writer);
    }

    /// <summary>Writes what else the measure was given.</summary>
    /// <exception cref="InvalidOperationException">A file cannot hold the measure.</exception>
    private protected virtual void WriteParameters(Utf8JsonWriter writer)
    {
    }

    /// <summary>Whether hidden states of a layer are needed when a later one is evaluated.</summary>
    /// <param name="layer">The layer, from 0, the embedding.</param>
    /// <param name="plan">The plan the measure is part of.</param>
    internal virtual bool NeedsHiddenState(int layer, ExitPlan plan) => false;

    /// <summary>The layers before the first evaluated one whose logits are needed when <paramref name="layer"/> is evaluated.</summary>
    internal virtual IEnumerable<int> AmateurLayers(int layer, ExitPlan plan) => [];

    /// <summary>The measure as it is at j, before the first cut, where it would otherwise follow the pruning.</summary>
    internal virtual Confidence WithoutPruning() => this;

    /// <summary>The measure as the published code computes it; see <see cref="ExitPolicy.ReferenceCompatible"/>.</summary>
    internal virtual Confidence ForReference() => this;

    /// <summary>Checks the measure against a policy and a model.</summary>
    /// <exception cref="ArgumentException">They exclude each other.</exception>
    internal virtual void Validate(ExitPolicy policy, T5Configuration configuration)
    {
    }

    /// <summary>The confidence of a token after the layer it has reached.</summary>
    /// <param name="token">The token on its way.</param>
    /// <returns>A number in [0, 1]; NaN where the hidden state or the logits hold a NaN or an infinity.</returns>
    internal abstract float Evaluate(TokenState token);
}
