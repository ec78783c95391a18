using System.Globalization;
using System.Numerics.Tensors;
using System.Text.Json;

namespace Microsoft.ML.EarlyExit.Exit.Confidences;

/// <summary>A measure that is a delegate of the user's.</summary>
internal sealed class CustomConfidence : Confidence
{
    private const int LongestName = 100;

    private readonly ConfidenceNeeds _needs;
    private readonly Func<TokenView, float> _evaluate;

    public CustomConfidence(string name, ConfidenceNeeds needs, Func<TokenView, float> evaluate)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        ArgumentNullException.ThrowIfNull(evaluate);
        if (name.Length > LongestName || !name.All(character => char.IsAsciiLetterOrDigit(character) || character is '-' or '_' or '.'))
        {
            throw new ArgumentException(
                $"The name '{name}' is none for a confidence: give 1 to {LongestName} ASCII letters, digits, dots, hyphens and underscores.", nameof(name));
        }

        if (Kinds.Any(kind => kind.Name == name))
            throw new ArgumentException($"The name '{name}' is that of one of the library's confidences: give another.", nameof(name));
        if (!Enum.IsDefined(needs))
            throw new ArgumentOutOfRangeException(nameof(needs), needs, "needs must be Logits or HiddenState.");
        Name = name;
        _needs = needs;
        _evaluate = evaluate;
    }

    internal override string Name { get; }

    internal override bool UsesLogits => _needs == ConfidenceNeeds.Logits;

    /// <summary>Whether a file can hold the measure.</summary>
    internal bool IsRegistered => RegisteredConfidences.Contains(this);

    public override bool Equals(object? obj) =>
        obj is CustomConfidence other && other.Name == Name && other._needs == _needs && other._evaluate.Equals(_evaluate);

    public override int GetHashCode() => HashCode.Combine(Name, _needs, _evaluate);

    internal override float Evaluate(TokenState token)
    {
        // What holds no number fails the row as with every measure; the delegate does not see it.
        ReadOnlySpan<float> numbers = UsesLogits ? token.Logits.Values : token.Hidden;
        if (numbers.Length < 2 || !TensorPrimitives.IsFiniteAll(numbers))
            return float.NaN;
        float confidence = _evaluate(new TokenView(token, UsesLogits));
        if (confidence is >= 0 and <= 1)
            return confidence;
        token.Problem = string.Create(
            CultureInfo.InvariantCulture,
            $"The confidence '{Name}' of token {token.Position} after decoder layer {token.Layer} is {confidence}; it must be a number from 0 to 1.");
        return float.NaN;
    }

    private protected override void WriteParameters(Utf8JsonWriter writer)
    {
        if (!IsRegistered)
        {
            throw new InvalidOperationException(
                $"The confidence '{Name}' is a delegate, which no file can hold. "
                + "Register it with Confidence.Register before saving, and again before loading.");
        }
    }
}
